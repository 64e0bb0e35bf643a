//! A bill of materials in CycloneDX 1.5 (ECMA-424's forerunner), JSON.
//!
//! It says nothing that differs from one machine or day to the next: no time, no random serial number.

use anyhow::Result;
use cargo_metadata::Package;
use serde_json::{Value, json};

use super::linked::Linked;

/// The document for a program.
pub(crate) fn document(linked: &Linked) -> Result<Value> {
    let root = linked.root();
    let packages = linked.packages();
    let depends = |package: &Package| {
        let mut below: Vec<_> = linked.below(package).map(reference).collect();
        below.sort();
        json!({"ref": reference(package), "dependsOn": below})
    };
    let mut dependencies = vec![depends(root)];
    dependencies.extend(packages.iter().map(|package| depends(package)));
    let components: Vec<_> = packages.iter().map(|package| component(linked, package)).collect();
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application",
            "bom-ref": reference(root),
            "name": root.name,
            "version": root.version,
            "licenses": licences(root),
        }},
        "components": components,
        "dependencies": dependencies,
    }))
}

fn component(linked: &Linked, package: &Package) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name,
        "version": package.version,
        "scope": "required",
        "licenses": licences(package),
    });
    // Only what is published has a package URL and a checksum; the rest is this repository's own.
    if let (Some(checksum), Some(fields)) = (linked.checksum(package), component.as_object_mut()) {
        fields.insert("purl".into(), json!(reference(package)));
        fields.insert("hashes".into(), json!([{"alg": "SHA-256", "content": checksum}]));
    }
    component
}

fn licences(package: &Package) -> Value {
    package.license.as_ref().map_or_else(
        || json!([]),
        |expression| {
            // Old manifests write `MIT/Apache-2.0`, which SPDX doesn't know.
            json!([{"expression": expression.replace('/', " OR ")}])
        },
    )
}

/// The package URL, which names the component within the document as well.
fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_clients_bill_is_whole_and_names_nothing_that_is_not_linked() {
        let manifest = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
        let linked = Linked::into("cloakroom", manifest).unwrap();
        let bill = document(&linked).unwrap();
        let components = bill["components"].as_array().unwrap();
        let names: BTreeSet<_> =
            components.iter().map(|component| component["name"].as_str().unwrap()).collect();
        for linked in ["gotatun", "aws-lc-sys", "smoltcp", "wallet"] {
            assert!(names.contains(linked), "{linked}");
        }
        // A server, a database, a test's tool, a macro, another system's bindings.
        for foreign in ["axum", "rusqlite", "proptest", "serde_derive", "windows-sys"] {
            assert!(!names.contains(foreign), "{foreign}");
        }
        for component in components {
            assert_ne!(component["licenses"], json!([]), "{component}");
            let published = component.get("purl").is_some();
            let hash = component.pointer("/hashes/0/content").and_then(Value::as_str);
            assert_eq!(published, hash.is_some_and(|hash| hash.len() == 64), "{component}");
        }
        let references: BTreeSet<_> = bill["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["ref"].as_str().unwrap())
            .collect();
        assert_eq!(references.len(), components.len() + 1);
        for entry in bill["dependencies"].as_array().unwrap() {
            for below in entry["dependsOn"].as_array().unwrap() {
                assert!(references.contains(below.as_str().unwrap()), "{below}");
            }
        }
    }
}
