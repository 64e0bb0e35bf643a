//! Who depends on whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, PackageId};

/// The packages of a build, and their dependencies with all features on, for every platform.
pub(crate) struct Graph {
    members: BTreeSet<String>,
    shipped: BTreeMap<String, BTreeSet<String>>,
    tests: BTreeMap<String, BTreeSet<String>>,
}

/// Which dependencies to follow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edges {
    /// Normal and build dependencies.
    Shipped,
    /// Dev dependencies of the first crate as well: a dependency's tests aren't built.
    WithTests,
}

impl Graph {
    /// Asks cargo for the graph of the workspace whose manifest this is.
    pub(crate) fn of_workspace(manifest: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .features(CargoOpt::AllFeatures)
            .exec()
            .with_context(|| format!("asking cargo about {}", manifest.display()))?;
        Self::of(&metadata)
    }

    fn of(metadata: &Metadata) -> Result<Self> {
        // Two versions of one package count as one: to reach either is to reach it.
        let names: BTreeMap<&PackageId, String> = metadata
            .packages
            .iter()
            .map(|package| (&package.id, package.name.to_string()))
            .collect();
        let name =
            |id: &PackageId| names.get(id).cloned().with_context(|| format!("{id}: no name"));
        let mut graph =
            Self { members: BTreeSet::new(), shipped: BTreeMap::new(), tests: BTreeMap::new() };
        for id in &metadata.workspace_members {
            graph.members.insert(name(id)?);
        }
        let resolve = metadata.resolve.as_ref().context("cargo gave no resolved graph")?;
        for node in &resolve.nodes {
            let from = name(&node.id)?;
            for dependency in &node.deps {
                let to = name(&dependency.pkg)?;
                for kind in &dependency.dep_kinds {
                    let edges = match kind.kind {
                        DependencyKind::Development => &mut graph.tests,
                        // A kind of edge that isn't known yet counts.
                        _ => &mut graph.shipped,
                    };
                    edges.entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        Ok(graph)
    }

    /// The workspace's own crates.
    pub(crate) fn members(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(String::as_str)
    }

    pub(crate) fn is_member(&self, name: &str) -> bool {
        self.members.contains(name)
    }

    /// Everything that `from` reaches, each with a shortest path that begins with `from`.
    pub(crate) fn reached<'a>(
        &'a self,
        from: &'a str,
        edges: Edges,
    ) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut reached: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut waiting = VecDeque::from([vec![from]]);
        while let Some(path) = waiting.pop_front() {
            let last = path.last().copied().unwrap_or(from);
            let tests = (edges == Edges::WithTests && last == from).then(|| self.tests.get(last));
            let next = self.shipped.get(last).into_iter().chain(tests.flatten()).flatten();
            for name in next {
                if name != from && !reached.contains_key(name.as_str()) {
                    let mut longer = path.clone();
                    longer.push(name);
                    reached.insert(name, longer.clone());
                    waiting.push_back(longer);
                }
            }
        }
        reached
    }
}
