//! `cargo xtask layers`: the allowed dependencies between the workspace's crates, checked over the transitive graph.
//!
//! A crate that can't reach a type can't misuse it. The table (`layers.toml`) says which rooms a crate may
//! reach; the graph comes from `cargo metadata`. Independently of the rooms, the wall is computed: who
//! reaches both sides' types must be listed.

mod graph;
mod table;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use graph::{Edges, Graph};
use table::Table;

/// What to check, and against what.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The workspace's manifest
    #[arg(long, default_value = "Cargo.toml")]
    manifest_path: PathBuf,
    /// The table; layers.toml beside the manifest by default
    #[arg(long)]
    table: Option<PathBuf>,
}

/// Prints violations to stderr, and whether there were none.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let path = arguments.table.clone();
    let path = path.unwrap_or_else(|| arguments.manifest_path.with_file_name("layers.toml"));
    let table = Table::load(&path)?;
    let graph = Graph::of_workspace(&arguments.manifest_path)?;
    let violations = check(&table, &graph);
    for violation in &violations {
        crate::complain(violation);
    }
    if violations.is_empty() {
        let crates = graph.members().count();
        writeln!(std::io::stdout(), "layers: {crates} crates keep to {}", path.display())
            .context("writing to stdout")?;
    }
    Ok(violations.is_empty())
}

/// Everything in `graph` that `table` doesn't allow, a sentence each.
fn check(table: &Table, graph: &Graph) -> Vec<String> {
    let mut violations = table.mistakes(&graph.members().collect());
    for member in graph.members() {
        violations.extend(check_rooms(table, graph, member));
        violations.extend(check_wall(table, graph, member));
    }
    violations
}

/// What `member` reaches though its room may not, each with the path to it.
fn check_rooms(table: &Table, graph: &Graph, member: &str) -> Vec<String> {
    let Some(room) = table.room_of(member) else { return Vec::new() };
    let mut violations = Vec::new();
    for (reached, path) in graph.reached(member, Edges::Shipped) {
        let path = path.join(" -> ");
        if graph.is_member(reached) {
            if !table.may_reach(member, room, reached) {
                violations.push(format!("{member} ({room}) may not reach {reached}: {path}"));
            }
        } else if table.must_do_without(room, reached) {
            violations.push(format!("{member} ({room}) must do without {reached}: {path}"));
        }
    }
    violations
}

/// Whether `member` reaches both sides of the wall.
fn check_wall(table: &Table, graph: &Graph, member: &str) -> Vec<String> {
    let wall = &table.wall;
    let mut violations = Vec::new();
    let crosses = |edges| {
        let mut reached = graph.reached(member, edges);
        // Who is one of the types reaches it.
        reached.insert(member, vec![member]);
        let first = |side: &BTreeSet<String>| {
            let path = side.iter().find_map(|name| reached.get(name.as_str()));
            path.map(|path| path.join(" -> "))
        };
        Some(format!("{} and {}", first(&wall.identity)?, first(&wall.address)?))
    };
    if wall.both.contains(member) {
        return violations;
    }
    if let Some(paths) = crosses(Edges::Shipped) {
        violations.push(format!("{member} stands on both sides of the wall: {paths}"));
    } else if !wall.both_in_tests.contains(member)
        && let Some(paths) = crosses(Edges::WithTests)
    {
        violations.push(format!("{member}'s tests stand on both sides of the wall: {paths}"));
    }
    violations
}

#[cfg(test)]
mod tests;
