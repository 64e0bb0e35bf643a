//! What some tests need beyond Rust and a C compiler: installed when that's allowed, asked for by name when it isn't.
//!
//! Nothing that is there already is installed again, and nothing is ever left out in silence.

use std::ffi::OsStr;
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
    npm: &'static str,
    /// What takes root, if anything does.
    root: Option<&'static str>,
}

/// Packages whose tests need nothing aren't listed.
const ALL: &[Needs] = &[Needs {
    package: "interop",
    programs: &[
        ("curl", "curl"),
        ("ip", "iproute2"),
        ("node", "nodejs"),
        ("npm", "npm"),
        ("wg", "wireguard-tools"),
        ("wireguard-go", "wireguard-go"),
    ],
    npm: "tools/interop",
    root: Some("a stock WireGuard client runs in a network namespace"),
}];

/// The copy of the lock file by which the npm packages in a directory were installed.
const INSTALLED: &str = "node_modules/.installed-lock.json";

/// Provides for the tests of packages.
pub(crate) fn provide(tested: impl Fn(&str) -> bool) -> Result<()> {
    let wanted: Vec<_> = ALL.iter().filter(|needs| tested(needs.package)).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = missing(&wanted, &path);
    let is_root = rustix::process::geteuid().is_root();
    if let Some(request) = request(&wanted, &missing, is_root) {
        bail!(request);
    }
    if !missing.is_empty() {
        install(&missing)?;
    }
    for needs in wanted {
        install_npm(&workspace().join(needs.npm))?;
    }
    Ok(())
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
    for needs in wanted {
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
        npm: "",
        root: Some("because"),
    }];

    #[test]
    fn what_is_not_in_the_path_is_missing() {
        let room = tempfile::tempdir().unwrap();
        std::fs::write(room.path().join("here"), "").unwrap();
        assert_eq!(missing(SAME, room.path().as_os_str()), ["b", "c"]);
        assert!(missing(&[], OsStr::new("")).is_empty());
    }

    #[test]
    fn who_is_not_root_is_told_everything_at_once() {
        assert_eq!(request(SAME, &["b"], true), None);
        assert_eq!(request(&[], &[], false), None);
        let asked = request(SAME, &["b", "c"], false).unwrap();
        for part in ["some take root: because", "Debian's b c", "--exclude some"] {
            assert!(asked.contains(part), "{asked}");
        }
        assert!(request(SAME, &[], false).unwrap().contains("take root"));
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
        for needs in ALL {
            let manifest = workspace().join("tools").join(needs.package).join("Cargo.toml");
            assert!(manifest.is_file(), "{}", needs.package);
            assert!(needs.npm.is_empty() || workspace().join(needs.npm).join(".npmrc").is_file());
        }
    }
}
