//! Building.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::compare::Difference;
use crate::{environment, sources};

/// A program of the workspace.
#[derive(Clone, Copy)]
pub struct Program {
    /// Its package.
    pub package: &'static str,
    /// Its own name.
    pub name: &'static str,
}

/// How a program comes by its C library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum CLibrary {
    /// It is linked in.
    Static,
    /// It is the system's, found when the program starts.
    Shared,
}

/// What is to be built.
pub struct Order<const N: usize> {
    /// The programs.
    pub programs: [Program; N],
    /// The machine that they are for, as the compiler names it.
    pub target: String,
    /// Where their C library is.
    pub c_library: CLibrary,
}

/// What came of an order: the bytes of each program.
pub struct Built<const N: usize> {
    /// The programs.
    pub programs: [Vec<u8>; N],
    /// Those of the second build, if there was one.
    pub again: Option<[Vec<u8>; N]>,
    /// Where both builds part: nothing when they are the same.
    pub differences: Vec<Difference>,
}

impl<const N: usize> Order<N> {
    /// Builds the workspace that this runs in; all files on the way are below `out`, which is made if it isn't there.
    ///
    /// # Errors
    /// When it can't be built.
    pub fn build(&self, out: &Path) -> Result<Built<N>> {
        let out = made(out)?;
        let source = sources::workspace()?;
        let programs = self.build_in(&source, &out.join("build"), &environment::cargo_home()?)?;
        Ok(Built { programs, again: None, differences: Vec::new() })
    }

    /// Builds copies of the workspace's sources in two directories below `out`, where all that a build reads and writes has other
    /// names, and which go when they are built. Programs that differ are left in `out`, as `NAME.first` and `NAME.second`.
    ///
    /// # Errors
    /// When they can't be built.
    pub fn build_twice(&self, out: &Path) -> Result<Built<N>> {
        self.build_copies(&sources::workspace()?, &made(out)?)
    }

    fn build_copies(&self, source: &Path, out: &Path) -> Result<Built<N>> {
        let rooms = ["first", "the-second-one"].map(|name| out.join(name));
        for room in rooms.iter().filter(|room| room.exists()) {
            std::fs::remove_dir_all(room)?;
        }
        // Both copies are taken before anything is built, and of the same files: somebody may be at work on the sources, and the
        // first copy may lie among them.
        let files = sources::list(source)?;
        let cargo_home = environment::cargo_home()?;
        for room in &rooms {
            sources::copy(source, &files, &room.join("source"))?;
            std::os::unix::fs::symlink(&cargo_home, room.join("cargo"))?;
        }
        let [first, second] = rooms.map(|room| {
            let [source, target, cargo] = ["source", "target", "cargo"].map(|name| room.join(name));
            let built = self.build_in(&source, &target, &cargo)?;
            std::fs::remove_dir_all(&room)?;
            anyhow::Ok(built)
        });
        let (programs, again) = (first?, second?);
        let mut differences = Vec::new();
        for ((Program { name, .. }, first), second) in
            self.programs.iter().zip(&programs).zip(&again)
        {
            let kept = [
                (out.join(format!("{name}.first")), first),
                (out.join(format!("{name}.second")), second),
            ];
            let difference = Difference::between(name, first, second);
            for (file, bytes) in kept {
                if difference.is_some() {
                    std::fs::write(&file, bytes)?;
                } else {
                    remove(&file)?;
                }
            }
            differences.extend(difference);
        }
        Ok(Built { programs, again: Some(again), differences })
    }

    /// Builds the sources in `source`, keeps all files on the way in `target` and what is downloaded in `cargo_home`: absolute paths.
    fn build_in(&self, source: &Path, target: &Path, cargo_home: &Path) -> Result<[Vec<u8>; N]> {
        // The innermost directory comes last and wins.
        let places = [(cargo_home, "/cargo"), (source, "/source"), (target, "/target")];
        let (rust, c) = self.flags(&places)?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = environment::command(cargo);
        command
            .current_dir(source)
            .env("CARGO_ENCODED_RUSTFLAGS", rust)
            .env("CARGO_HOME", cargo_home)
            .env("CFLAGS", c)
            .env("SOURCE_DATE_EPOCH", "0")
            .args(["build", "--release", "--locked", "--target", &self.target, "--target-dir"])
            .arg(target);
        for Program { package, name } in self.programs {
            command.args(["--package", package, "--bin", name]);
        }
        let status = command.status().context("cargo can't be started")?;
        ensure!(status.success(), "{} could not be built", self.names());
        let made = target.join(&self.target).join("release");
        let mut built = [const { Vec::new() }; N];
        for (bytes, program) in built.iter_mut().zip(self.programs) {
            let file = made.join(program.name);
            *bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        }
        Ok(built)
    }

    /// The compilers' flags, as CARGO_ENCODED_RUSTFLAGS and CFLAGS have them; `places`: a directory, and what stands for it.
    fn flags(&self, places: &[(&Path, &str)]) -> Result<(String, String)> {
        let feature = match self.c_library {
            CLibrary::Static => "-Ctarget-feature=+crt-static",
            CLibrary::Shared => "-Ctarget-feature=-crt-static",
        };
        let mut rust = vec![feature.to_owned(), "-Cstrip=symbols".to_owned()];
        let mut c = Vec::new();
        for (path, name) in places {
            let path = path.to_str().context("a directory's name isn't UTF-8")?;
            let splits = |letter: char| letter.is_whitespace() || letter == '=';
            ensure!(!path.contains(splits), "{path}: a compiler's flag can't hold this name");
            rust.push(format!("--remap-path-prefix={path}={name}"));
            c.push(format!("-ffile-prefix-map={path}={name}"));
        }
        Ok((rust.join("\u{1f}"), c.join(" ")))
    }

    fn names(&self) -> String {
        self.programs.map(|program| program.name).join(" and ")
    }
}

/// Removes what a former build left.
///
/// # Errors
/// When it is there and can't be removed.
pub fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// A directory that is there, by its absolute name.
fn made(directory: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(directory)
        .and_then(|()| directory.canonicalize())
        .with_context(|| format!("{} can't be made", directory.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use object::Object as _;

    use super::*;
    use crate::{host, output};

    /// Builds a package with this source in two places; what is built lies among the sources.
    fn small(main: &str, c_library: CLibrary) -> (Built<1>, tempfile::TempDir) {
        let room = tempfile::tempdir().unwrap();
        let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        let lock = "version = 4\n\n[[package]]\nname = \"small\"\nversion = \"0.1.0\"\n";
        // Files that are made on the way have the directory in their names, and panics name files.
        let build = "fn main() { let out = std::env::var(\"OUT_DIR\").unwrap();
            std::fs::write(out + \"/made.rs\", \"fn first() -> String { std::env::args().nth(1).unwrap() }\").unwrap(); }";
        std::fs::create_dir(room.path().join("src")).unwrap();
        for (name, text) in [
            ("Cargo.toml", manifest),
            ("Cargo.lock", lock),
            ("build.rs", build),
            ("src/main.rs", main),
        ] {
            std::fs::write(room.path().join(name), text).unwrap();
        }
        output(Command::new("git").arg("-C").arg(room.path()).args(["init", "--quiet"])).unwrap();
        let programs = [Program { package: "small", name: "small" }];
        let order = Order { programs, target: host().unwrap(), c_library };
        (order.build_copies(room.path(), room.path()).unwrap(), room)
    }

    #[test]
    fn two_builds_in_two_places_are_the_same_bytes() {
        let main = "include!(concat!(env!(\"OUT_DIR\"), \"/made.rs\")); fn main() { println!(\"{}\", first()); }";
        for c_library in [CLibrary::Static, CLibrary::Shared] {
            let (built, room) = small(main, c_library);
            assert_eq!(built.differences, []);
            let ([first], Some([second])) = (built.programs, built.again) else { panic!("none") };
            assert!(first.starts_with(b"\x7fELF") && first == second);
            // What names the linker that finds the library when the program starts.
            let interpreter =
                object::File::parse(&*first).unwrap().section_by_name(".interp").is_some();
            assert_eq!(interpreter, c_library == CLibrary::Shared);
            for left in ["first", "the-second-one", "small.first"] {
                assert!(!room.path().join(left).exists(), "{left}");
            }
        }
    }

    #[test]
    fn a_program_that_keeps_its_place_is_found_out() {
        let main = "fn main() { println!(\"{}\", env!(\"CARGO_MANIFEST_DIR\")); }";
        let (built, room) = small(main, CLibrary::Shared);
        let [difference] = &built.differences[..] else { panic!("{:?}", built.differences) };
        assert_eq!(difference.program, "small");
        assert_eq!(difference.section.as_deref(), Some(".rodata"));
        for (name, bytes) in
            [("small.first", built.programs), ("small.second", built.again.unwrap())]
        {
            assert_eq!([std::fs::read(room.path().join(name)).unwrap()], bytes);
        }
    }

    #[test]
    fn every_place_is_renamed_for_both_compilers() {
        let order = Order { programs: [], target: String::new(), c_library: CLibrary::Static };
        let places = [(Path::new("/home/a/.cargo"), "/cargo"), (Path::new("/b/c"), "/source")];
        let (rust, c) = order.flags(&places).unwrap();
        let expected = [
            "-Ctarget-feature=+crt-static",
            "-Cstrip=symbols",
            "--remap-path-prefix=/home/a/.cargo=/cargo",
            "--remap-path-prefix=/b/c=/source",
        ];
        assert_eq!(rust.split('\u{1f}').collect::<Vec<_>>(), expected);
        assert_eq!(c, "-ffile-prefix-map=/home/a/.cargo=/cargo -ffile-prefix-map=/b/c=/source");
        for path in ["/my documents", "/a=b"] {
            assert!(order.flags(&[(Path::new(path), "/source")]).is_err(), "{path}");
        }
    }
}
