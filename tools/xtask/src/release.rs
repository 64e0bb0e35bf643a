//! `cargo xtask release`: the client as it is published, the same bytes for whoever builds it. See docs/operations/reproducible-builds.md.
//!
//! Its C library is the system's: names are resolved as the system is set up to (nsswitch.conf), which a static glibc can't do, the
//! library's repairs reach it, and the library itself is no part of its bytes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use reproducible::{Built, CLibrary, Commit, Difference, Order, Program, Tools, host, remove};
use serde::Serialize;

/// The program that customers run.
const CLIENT: &str = "cloakroom";

/// How the client is built.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build it twice, from copies of the sources in two directories, and compare
    #[arg(long)]
    check: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Where the program and what is said of it are put
    #[arg(long, value_name = "DIR", default_value = "target/release-client")]
    out: PathBuf,
}

/// What is published beside the program.
#[derive(Serialize)]
struct Description {
    program: &'static str,
    version: &'static str,
    target: String,
    bytes: usize,
    sha256: String,
    source: Commit,
    made_with: Tools,
}

/// What came of the check.
#[derive(Serialize)]
struct Check {
    /// SHA-256 of both builds.
    sha256: [String; 2],
    same: bool,
    differences: Vec<Difference>,
}

/// What is printed.
#[derive(Serialize)]
struct Said {
    #[serde(flatten)]
    description: Description,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
}

/// Builds the client; whether two builds, if two were asked for, are the same. Otherwise nothing is left that could be published.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let out = &arguments.out;
    let (program, description) = (out.join(CLIENT), out.join(format!("{CLIENT}.json")));
    for file in [&program, &description] {
        remove(file)?;
    }
    // Before the build, which may take a while, and after which the sources may be others.
    let source = Commit::here()?;
    let order = Order {
        programs: [Program { package: CLIENT, name: CLIENT }],
        target: host()?,
        c_library: CLibrary::Shared,
    };
    let built = if arguments.check { order.build_twice(out)? } else { order.build(out)? };
    let said = describe(&built, order.target, source, Tools::here()?);
    let same = said.check.as_ref().is_none_or(|check| check.same);
    if same {
        let [bytes] = &built.programs;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o755).open(&program)?;
        file.write_all(bytes).with_context(|| format!("writing {}", program.display()))?;
        let text = serde_json::to_string_pretty(&said.description)?;
        std::fs::write(&description, text + "\n")?;
    }
    let mut stdout = std::io::stdout();
    if arguments.json {
        writeln!(stdout, "{}", serde_json::to_string(&said)?)?;
    } else {
        write!(stdout, "{}", said.lines())?;
    }
    Ok(same)
}

fn describe(built: &Built<1>, target: String, source: Commit, made_with: Tools) -> Said {
    let hash = |[program]: &[Vec<u8>; 1]| hex::encode(digest(&SHA256, program));
    let [program] = &built.programs;
    let check = built.again.as_ref().map(|again| Check {
        sha256: [hash(&built.programs), hash(again)],
        same: built.differences.is_empty(),
        differences: built.differences.clone(),
    });
    let description = Description {
        program: CLIENT,
        version: env!("CARGO_PKG_VERSION"),
        target,
        bytes: program.len(),
        sha256: hash(&built.programs),
        source,
        made_with,
    };
    Said { description, check }
}

impl Said {
    /// As people read it.
    fn lines(&self) -> String {
        let Description { program, target, bytes, sha256, source, made_with, .. } =
            &self.description;
        let Tools { rustc, cc, assembler, libc } = made_with;
        let changed = if source.changed { ", changed: nobody else has these sources" } else { "" };
        let mut text = format!(
            "{sha256}  {program}\n{bytes} bytes for {target}\nof commit {}{changed}\nwith {rustc}; {cc}; {assembler}; {libc}\n",
            source.commit
        );
        for difference in self.check.iter().flat_map(|check| &check.differences) {
            text += &format!("{difference}\n");
        }
        if self.check.as_ref().is_some_and(|check| check.same) {
            text += "two builds in two directories are the same bytes\n";
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(again: Option<&[u8]>, differences: Vec<Difference>) -> Said {
        let source = Commit { commit: "c0ffee".into(), changed: true };
        let [rustc, cc, assembler, libc] = ["rustc 1", "cc 2", "as 3", "libc 4"].map(str::to_owned);
        let again = again.map(|program| [program.to_vec()]);
        let built = Built { programs: [b"abc".to_vec()], again, differences };
        describe(&built, "a-target".into(), source, Tools { rustc, cc, assembler, libc })
    }

    /// The digest of "abc" is FIPS 180-2's first example.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_client_is_described_by_its_hash_sources_and_tools() {
        let said = said(None, Vec::new());
        let json = serde_json::to_value(&said).unwrap();
        for (pointer, expected) in [
            ("/sha256", ABC),
            ("/target", "a-target"),
            ("/source/commit", "c0ffee"),
            ("/made_with/rustc", "rustc 1"),
            ("/made_with/cc", "cc 2"),
        ] {
            assert_eq!(json.pointer(pointer).unwrap(), expected, "{pointer}");
        }
        assert_eq!(json["bytes"], 3);
        assert_eq!(json.get("check"), None);
        assert_eq!(said.lines().lines().next(), Some(&*format!("{ABC}  cloakroom")));
        assert!(said.lines().contains("nobody else has these sources"));
        assert!(!said.lines().contains("same bytes"));
    }

    #[test]
    fn a_check_has_both_hashes_and_says_where_the_builds_part() {
        let same = said(Some(b"abc"), Vec::new());
        let json = serde_json::to_value(&same).unwrap();
        assert_eq!(
            json["check"],
            serde_json::json!({"sha256": [ABC, ABC], "same": true, "differences": []})
        );
        assert!(same.lines().contains("the same bytes"));
        let difference = Difference {
            program: CLIENT,
            offset: 2,
            section: Some(".text".into()),
            lengths: [3, 3],
        };
        let other = said(Some(b"abd"), vec![difference]);
        let json = serde_json::to_value(&other).unwrap();
        assert_eq!(json["check"]["same"], false);
        assert_ne!(json["check"]["sha256"][1], ABC);
        assert_eq!(json["check"]["differences"][0]["section"], ".text");
        assert!(other.lines().contains("differ at offset 0x2, in .text"));
        assert!(!other.lines().contains("the same bytes"));
    }
}
