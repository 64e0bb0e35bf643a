//! The licences of what is linked in, each text once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::Package;

use super::linked::Linked;

/// Texts of licences whose packages come without one, by what the packages name.
const KEPT: [(&str, &str); 1] = [("MPL-2.0", include_str!("../../licences/MPL-2.0.txt"))];

/// What goes beside a released program.
pub(crate) struct Notices {
    /// All of it.
    pub(crate) text: String,
    /// Packages that name no licence, or one whose text is neither theirs nor kept here: they mustn't go out.
    pub(crate) without: Vec<String>,
}

impl Notices {
    /// The notices of everything in `linked` that isn't our own.
    pub(crate) fn of(linked: &Linked) -> Result<Self> {
        let mut without = Vec::new();
        let mut list = String::new();
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for package in linked.packages() {
            if linked.checksum(package).is_none() {
                continue;
            }
            let name = format!("{} {}", package.name, package.version);
            let licence = package.license.as_deref().unwrap_or("no licence");
            let mut found = licence_files(&Linked::sources(package))
                .with_context(|| format!("the sources of {name} can't be read"))?;
            if found.is_empty() {
                let kept = KEPT.iter().filter(|(id, _)| *id == licence);
                found.extend(kept.map(|(_, text)| (*text).to_owned()));
            }
            if found.is_empty() || package.license.is_none() {
                without.push(name);
                continue;
            }
            writeln!(list, "{name}: {licence}{}", where_from(package))?;
            for text in found {
                texts.entry(text).or_default().push(name.clone());
            }
        }
        let root = linked.root();
        let mut text = format!(
            "{} {} contains the following packages, unchanged, under the terms that each names.\n\n{list}",
            root.name, root.version
        );
        for (licence, packages) in &texts {
            let line = "-".repeat(72);
            write!(text, "\n{line}\n{}\n{line}\n\n{}\n", packages.join(", "), licence.trim_end())?;
        }
        Ok(Self { text, without })
    }
}

/// Where the source is to be had: terms such as the MPL's ask for that.
fn where_from(package: &Package) -> String {
    package.repository.as_ref().map_or_else(String::new, |url| format!("; {url}"))
}

/// The texts of licence and notice files, which lie at the top of a package or in a folder of their own.
fn licence_files(sources: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    let mut folders = vec![sources.to_owned()];
    let is_wanted = |name: &str| {
        let wanted = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE"];
        wanted.iter().any(|start| name.starts_with(start))
    };
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().to_ascii_uppercase();
            // In a folder of licences, files have the licences' names.
            if folder == sources && !is_wanted(&name) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                let text = std::fs::read(entry.path())?;
                texts.push(String::from_utf8_lossy(&text).replace("\r\n", "\n"));
            }
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_lie_at_the_top_or_in_a_folder_of_their_own_in_any_letters() {
        let room = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &[u8]| std::fs::write(room.path().join(name), text).unwrap();
        std::fs::create_dir(room.path().join("LICENSES")).unwrap();
        std::fs::create_dir(room.path().join("src")).unwrap();
        put("LICENSES/MIT.txt", b"first");
        put("Licence-Apache", b"by J\xf6rg\r\nsecond");
        put("src/LICENSE", b"not at the top");
        put("README.md", b"no licence");
        let mut texts = licence_files(room.path()).unwrap();
        texts.sort();
        assert_eq!(texts, ["by J\u{fffd}rg\nsecond", "first"]);
    }

    #[test]
    fn the_clients_notices_have_every_package_and_the_texts_that_must_go_along() {
        let manifest = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
        let linked = Linked::into("cloakroom", manifest).unwrap();
        let notices = Notices::of(&linked).unwrap();
        assert_eq!(notices.without, Vec::<String>::new());
        for package in linked.packages() {
            let line = format!("\n{} {}: ", package.name, package.version);
            let ours = linked.checksum(package).is_none();
            assert_eq!(notices.text.contains(&line), !ours, "{line}");
        }
        assert!(notices.text.contains("gotatun"));
        assert!(notices.text.contains("Mozilla Public License Version 2.0"));
        assert!(!notices.text.contains("GNU GENERAL PUBLIC LICENSE"));
    }
}
