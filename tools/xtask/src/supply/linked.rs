//! The packages linked into a program, from `cargo metadata`: normal dependencies, transitively, as resolved for
//! the machine that asks, with the features that the workspace turns on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use reproducible::host;
use serde::Deserialize;

/// A program's package and all that is linked into it.
pub(crate) struct Linked {
    metadata: Metadata,
    root: PackageId,
    edges: BTreeMap<PackageId, BTreeSet<PackageId>>,
    checksums: BTreeMap<(String, String), String>,
}

impl Linked {
    /// What is linked into `package` of the workspace at `manifest`.
    pub(crate) fn into(package: &str, manifest: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .other_options(["--locked", "--filter-platform", &host()?].map(str::to_owned))
            .exec()?;
        let root = metadata
            .workspace_packages()
            .into_iter()
            .find(|member| member.name.as_str() == package)
            .with_context(|| format!("the workspace has no package {package}"))?
            .id
            .clone();
        let edges = edges_from(&metadata, &root)?;
        let lock = metadata.workspace_root.join("Cargo.lock");
        Ok(Self { checksums: checksums(lock.as_std_path())?, metadata, root, edges })
    }

    /// The program's own package.
    pub(crate) fn root(&self) -> &Package {
        &self.metadata[&self.root]
    }

    /// All packages but the program's own, in the order of their names.
    pub(crate) fn packages(&self) -> Vec<&Package> {
        let mut packages: Vec<&Package> =
            self.edges.keys().filter(|id| **id != self.root).map(|id| &self.metadata[id]).collect();
        packages.sort_by_key(|package| (package.name.to_string(), package.version.clone()));
        packages
    }

    /// What a package depends on directly.
    pub(crate) fn below(&self, package: &Package) -> impl Iterator<Item = &Package> {
        self.edges.get(&package.id).into_iter().flatten().map(|id| &self.metadata[id])
    }

    /// SHA-256 of the package as it is published, in hexadecimal; nothing for the workspace's own.
    pub(crate) fn checksum(&self, package: &Package) -> Option<&str> {
        let key = (package.name.to_string(), package.version.to_string());
        self.checksums.get(&key).map(String::as_str)
    }

    /// The directory with a package's sources.
    pub(crate) fn sources(package: &Package) -> PathBuf {
        package.manifest_path.parent().map_or_else(PathBuf::new, |path| path.as_std_path().into())
    }
}

fn edges_from(
    metadata: &Metadata,
    root: &PackageId,
) -> Result<BTreeMap<PackageId, BTreeSet<PackageId>>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut edges: BTreeMap<PackageId, BTreeSet<PackageId>> = BTreeMap::new();
    let mut open = vec![root.clone()];
    while let Some(id) = open.pop() {
        if edges.contains_key(&id) {
            continue;
        }
        let node = nodes.get(&id).with_context(|| format!("{id} isn't resolved"))?;
        let below: BTreeSet<_> = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal))
            // A procedural macro runs in the compiler; only what it writes is linked.
            .filter(|dep| !is_macro(&metadata[&dep.pkg]))
            .map(|dep| dep.pkg.clone())
            .collect();
        open.extend(below.iter().cloned());
        edges.insert(id, below);
    }
    Ok(edges)
}

fn is_macro(package: &Package) -> bool {
    package.targets.iter().any(cargo_metadata::Target::is_proc_macro)
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

fn checksums(lock: &Path) -> Result<BTreeMap<(String, String), String>> {
    let lock: Lock = toml::from_str(&std::fs::read_to_string(lock)?)?;
    let entries = lock.package.into_iter();
    Ok(entries.filter_map(|one| Some(((one.name, one.version), one.checksum?))).collect())
}
