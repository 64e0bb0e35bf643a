//! What some tests need beyond Rust and a C compiler: installed when that's allowed, asked for by name when it isn't.
//!
//! Nothing that is there already is installed again, and nothing is ever left out in silence.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// What the tests of one package need.
struct Needs {
    package: &'static str,
    /// Programs, and the Debian packages that they come with.
    programs: &'static [(&'static str, &'static str)],
    /// A directory with a package.json and a package-lock.json, from the workspace's.
    npm: Option<&'static str>,
    /// What takes root, if anything does.
    root: Option<&'static str>,
}

/// Packages whose tests need nothing aren't listed.
const ALL: &[Needs] = &[
    Needs {
        package: "interop",
        programs: &[
            ("curl", "curl"),
            ("ip", "iproute2"),
            ("node", "nodejs"),
            ("npm", "npm"),
            ("wg", "wireguard-tools"),
            ("wireguard-go", "wireguard-go"),
        ],
        npm: Some("tools/interop"),
        root: Some("a stock WireGuard client runs in a network namespace"),
    },
    a_server("accounts"),
    a_server("endtoend"),
    a_server("gateway"),
    a_server("issuer"),
    a_server("postgres-cluster"),
    a_server("store"),
];

/// Needs to start PostgreSQL servers of its own.
const fn a_server(package: &'static str) -> Needs {
    let programs = &[("initdb", "postgresql"), ("postgres", "postgresql"), ("psql", "postgresql")];
    Needs { package, programs, npm: None, root: None }
}

/// Where Debian keeps programs that aren't in the `PATH`.
const ASIDE: &str = "/usr/lib/postgresql";

/// The copy of the lock file by which the npm packages in a directory were installed.
const INSTALLED: &str = "node_modules/.installed-lock.json";

/// Provides for the tests of packages.
pub(crate) fn provide(tested: impl Fn(&str) -> bool) -> Result<()> {
    let wanted: Vec<_> = ALL.iter().filter(|needs| tested(needs.package)).collect();
    let path = with_aside(&std::env::var_os("PATH").unwrap_or_default(), Path::new(ASIDE))?;
    let missing = missing(&wanted, &path);
    let is_root = rustix::process::geteuid().is_root();
    if let Some(request) = request(&wanted, &missing, is_root) {
        bail!(request);
    }
    if !missing.is_empty() {
        install(&missing)?;
    }
    for npm in wanted.iter().filter_map(|needs| needs.npm) {
        install_npm(&workspace().join(npm))?;
    }
    Ok(())
}

/// The directories of `path`, and the `bin` of each version in a directory aside.
fn with_aside(path: &OsStr, aside: &Path) -> Result<OsString> {
    let versions = std::fs::read_dir(aside).into_iter().flatten().flatten();
    let bins = versions.map(|version| version.path().join("bin"));
    Ok(std::env::join_paths(std::env::split_paths(path).chain(bins))?)
}

/// The Debian packages with the programs that aren't in any directory of `path`, each once.
fn missing(wanted: &[&Needs], path: &OsStr) -> Vec<&'static str> {
    let is_there =
        |program: &str| std::env::split_paths(path).any(|dir| dir.join(program).is_file());
    let programs = wanted.iter().flat_map(|needs| needs.programs);
    let mut packages: Vec<_> =
        programs.filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// What to ask for when it can't be provided for.
fn request(wanted: &[&Needs], missing: &[&str], is_root: bool) -> Option<String> {
    if is_root {
        return None;
    }
    let roots: Vec<_> =
        wanted.iter().filter_map(|needs| Some((needs.package, needs.root?))).collect();
    if missing.is_empty() && roots.is_empty() {
        return None;
    }
    let mut text = String::from("some tests can't run like this:");
    for (package, why) in &roots {
        text += &format!("\n- those of {package} take root: {why}");
    }
    if !missing.is_empty() {
        text += &format!("\n- they need Debian's {}", missing.join(" "));
    }
    text += "\nRun `cargo xtask test` as root, which installs what is missing";
    let lacks = |needs: &Needs| needs.programs.iter().any(|(_, from)| missing.contains(from));
    for needs in wanted.iter().filter(|needs| needs.root.is_some() || lacks(needs)) {
        text += &format!(", or leave them out: --exclude {}", needs.package);
    }
    Some(text)
}

fn install(packages: &[&str]) -> Result<()> {
    say(&format!("installing Debian's {}", packages.join(" ")))?;
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        run(command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["--quiet", "--yes"])
            .args(arguments))
    };
    apt_get(&["update"])
        .and_then(|()| apt_get(&[&["install", "--no-install-recommends"], packages].concat()))
        .with_context(|| format!("tests need these programs: {}", packages.join(" ")))
}

/// Installs what a lock file names, unless it was installed by the very same lock file.
fn install_npm(directory: &Path) -> Result<()> {
    let read = |name: &str| std::fs::read(directory.join(name));
    let locked = read("package-lock.json").context("there is no package-lock.json")?;
    if read(INSTALLED).is_ok_and(|installed| installed == locked) {
        return Ok(());
    }
    let name = directory.file_name().unwrap_or_default().display();
    say(&format!("installing the npm packages of {name}"))?;
    run(Command::new("npm").args(["ci", "--ignore-scripts"]).current_dir(directory))?;
    Ok(std::fs::write(directory.join(INSTALLED), locked)?)
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("{name} can't be started"))?;
    ensure!(status.success(), "{name} failed");
    Ok(())
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: &[&Needs] = &[&Needs {
        package: "some",
        programs: &[("here", "a"), ("gone", "c"), ("lost", "b"), ("left", "c")],
        npm: None,
        root: Some("because"),
    }];

    const OTHER: Needs =
        Needs { package: "other", programs: &[("here", "a")], npm: None, root: None };

    #[test]
    fn what_is_not_in_the_path_is_missing() {
        let room = tempfile::tempdir().unwrap();
        std::fs::write(room.path().join("here"), "").unwrap();
        assert_eq!(missing(SAME, room.path().as_os_str()), ["b", "c"]);
        assert!(missing(&[], OsStr::new("")).is_empty());
        // Some programs lie aside, by version.
        let aside = room.path().join("aside");
        std::fs::create_dir_all(aside.join("15/bin")).unwrap();
        std::fs::write(aside.join("15/bin/lost"), "").unwrap();
        let path = with_aside(room.path().as_os_str(), &aside).unwrap();
        assert_eq!(missing(SAME, &path), ["c"]);
        assert_eq!(with_aside(OsStr::new("/bin"), Path::new("/nowhere")).unwrap(), "/bin");
    }

    #[test]
    fn who_is_not_root_is_told_everything_at_once() {
        assert_eq!(request(SAME, &["b"], true), None);
        assert_eq!(request(&[], &[], false), None);
        let asked = request(&[SAME, &[&OTHER]].concat(), &["b", "c"], false).unwrap();
        for part in ["some take root: because", "Debian's b c", "--exclude some"] {
            assert!(asked.contains(part), "{asked}");
        }
        assert!(!asked.contains("other"), "it lacks nothing: {asked}");
        assert!(request(SAME, &[], false).unwrap().contains("take root"));
        // What needs no root but a program that isn't there.
        let asked = request(&[&OTHER], &["a"], false).unwrap();
        assert!(asked.contains("Debian's a") && asked.contains("--exclude other"), "{asked}");
        assert_eq!(request(&[&OTHER], &[], false), None);
    }

    #[test]
    fn npm_is_not_asked_again_for_the_same_lock_file() {
        let room = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(room.path().join(name), text).unwrap();
        std::fs::create_dir(room.path().join("node_modules")).unwrap();
        assert!(install_npm(room.path()).is_err());
        write("package-lock.json", "this is not npm's");
        write(INSTALLED, "this is not npm's");
        install_npm(room.path()).unwrap();
        write("package-lock.json", "nor is this");
        assert!(install_npm(room.path()).is_err());
    }

    #[test]
    fn every_package_is_one_of_the_workspace() {
        let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().unwrap();
        let packages: Vec<_> = metadata.packages.iter().map(|found| found.name.as_str()).collect();
        for needs in ALL {
            assert!(packages.contains(&needs.package), "{}", needs.package);
            assert!(needs.npm.is_none_or(|npm| workspace().join(npm).join(".npmrc").is_file()));
        }
        // Whoever starts a server is listed, so that no machine lacks it without a word.
        for package in &metadata.packages {
            let starts = package.dependencies.iter().any(|other| other.name == "postgres-cluster");
            let listed = |needs: &Needs| needs.package == package.name.as_str();
            assert!(!starts || ALL.iter().any(listed), "{} isn't listed", package.name);
        }
    }
}
