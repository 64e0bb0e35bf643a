//! Where PostgreSQL's programs are, and as whom they run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Where Debian keeps the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// What a server takes. All of it comes with Debian's `postgresql`.
const NEEDED: [&str; 3] = ["initdb", "postgres", "psql"];

/// PostgreSQL's programs, of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    directory: PathBuf,
}

/// A user of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The number of the user's group.
    pub gid: u32,
}

impl Programs {
    /// The programs of the newest version that Debian's packages brought, else those in the `PATH`.
    ///
    /// # Errors
    /// When there are none; says what to install.
    pub fn find() -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = Self::among(Path::new(DEBIAN), &path);
        found.context("PostgreSQL isn't installed: apt-get install postgresql")
    }

    /// The same, looked for in these places.
    fn among(debian: &Path, path: &OsStr) -> Option<Self> {
        let versions = fs::read_dir(debian).into_iter().flatten().flatten();
        let mut versions: Vec<_> = versions
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry)))
            .map(|(version, entry)| (version, entry.path().join("bin")))
            .collect();
        versions.sort_unstable_by(|one, other| other.cmp(one));
        let directories = versions.into_iter().map(|(_, directory)| directory);
        let is_whole =
            |directory: &PathBuf| NEEDED.iter().all(|program| directory.join(program).is_file());
        let directory = directories.chain(std::env::split_paths(path)).find(is_whole)?;
        Some(Self { directory })
    }

    /// As whom a server runs: as ourselves, or, where that is root, as `postgres`, or `nobody`. `None`: as ourselves.
    ///
    /// # Errors
    /// When we are root and there is no such user.
    pub fn user() -> Result<Option<User>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("/etc/passwd can't be read")?;
        let user = ["postgres", "nobody"].iter().find_map(|name| user_of(&users, name));
        user.map(Some).context("PostgreSQL doesn't run as root, and there is no user `postgres`")
    }

    /// A command of one of the programs, run as `user`.
    pub(crate) fn command(&self, program: &str, user: Option<User>) -> Command {
        let mut command = Command::new(self.directory.join(program));
        command.env_clear().env("PATH", &self.directory).env("LC_ALL", "C").current_dir("/");
        if let Some(User { uid, gid }) = user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The entry of a user in the text of `/etc/passwd`.
fn user_of(users: &str, name: &str) -> Option<User> {
    let entries = users.lines().map(|line| line.split(':'));
    let mut entry = entries.clone().find(|entry| entry.clone().next() == Some(name))?;
    let uid = entry.nth(2)?.parse().ok()?;
    Some(User { uid, gid: entry.next()?.parse().ok()? })
}

/// Runs a command to its end, and gives what it printed; what it complains of is the error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_owned();
    let name = name.display();
    let output = command.output().with_context(|| format!("{name} can't be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed: {}", said.trim());
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_version_is_taken_before_the_path() {
        let room = tempfile::tempdir().unwrap();
        let make = |directory: &str, programs: &[&str]| {
            let directory = room.path().join(directory);
            fs::create_dir_all(&directory).unwrap();
            programs.iter().for_each(|name| fs::write(directory.join(name), "").unwrap());
            directory
        };
        let (debian, path) = (room.path().join("debian"), make("path", &NEEDED));
        let found = || Programs::among(&debian, path.as_os_str()).map(|found| found.directory);
        assert_eq!(found(), Some(path.clone()));
        let nine = make("debian/9/bin", &NEEDED);
        assert_eq!(found(), Some(nine));
        let fifteen = make("debian/15/bin", &NEEDED);
        make("debian/16/bin", &["psql"]);
        make("debian/common/bin", &NEEDED);
        assert_eq!(found(), Some(fifteen));
        assert_eq!(Programs::among(&room.path().join("none"), OsStr::new("/none")), None);
    }

    #[test]
    fn users_are_read_as_the_system_keeps_them() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:n:/none:/none\nbad:x:y:1\n";
        assert_eq!(user_of(users, "nobody"), Some(User { uid: 65534, gid: 65533 }));
        assert_eq!(user_of(users, "bad"), None);
        assert_eq!(user_of(users, "postgres"), None);
    }
}
