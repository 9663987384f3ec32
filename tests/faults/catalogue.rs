//! `failures.list`: every failure that is known, and what shows that it is found.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::table;

const LIST: &str = include_str!("failures.list");

/// Returns what is wrong with a list: a failure that nothing shows, a row or a test that is not there.
fn gaps(list: &str, root: &Path) -> Result<Vec<String>> {
    let rows = table::read(&root.join("tests/faults"))?;
    let faults: BTreeSet<&str> =
        rows.iter().filter(|row| row.finds.is_some()).map(|row| row.name.as_str()).collect();
    let mut gaps = Vec::new();
    let mut known = BTreeSet::new();
    for entry in list.split("\n== ").skip(1) {
        let mut lines = entry.lines().filter(|line| !line.is_empty());
        let what = lines.next().unwrap_or_default();
        if !known.insert(what) {
            gaps.push(format!("{what}: stands twice"));
        }
        let mut is_shown = false;
        for line in lines {
            is_shown = true;
            match line.split_once(' ') {
                Some(("row", name)) if faults.contains(name) => {}
                Some(("row", name)) => gaps.push(format!("{what}: no fault {name:?} in tests/faults")),
                Some(("test", place)) => {
                    let (file, name) = place.split_once(' ').context("test FILE NAME")?;
                    let text = fs::read_to_string(root.join(file)).unwrap_or_default();
                    if !text.contains(&format!("fn {name}(")) {
                        gaps.push(format!("{what}: no test {name} in {file}"));
                    }
                }
                Some(("none", _reason)) => {}
                _ => gaps.push(format!("{what}: {line:?} is no row, test or none")),
            }
        }
        if !is_shown {
            gaps.push(format!("{what}: nothing shows that it is found"));
        }
    }
    Ok(gaps)
}

#[test]
fn every_failure_that_is_known_is_shown_to_be_found() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let gaps = gaps(LIST, root)?;
    assert!(gaps.is_empty(), "tests/faults/failures.list:\n{}", gaps.join("\n"));
    Ok(())
}

#[test]
fn a_failure_without_a_proof_is_told() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (entry, want) in [
        ("a\n", "a: nothing shows that it is found"),
        ("a\nrow no such row\n", "a: no fault \"no such row\" in tests/faults"),
        ("a\nrow docker\n", "a: no fault \"docker\" in tests/faults"),
        ("a\ntest src/lib.rs no_such_test\n", "a: no test no_such_test in src/lib.rs"),
        ("a\nshown somewhere\n", "a: \"shown somewhere\" is no row, test or none"),
        ("a\nnone REASON\n\n== a\nnone REASON\n", "a: stands twice"),
    ] {
        assert_eq!(gaps(&format!("Intro.\n\n== {entry}"), root)?, [want]);
    }
    Ok(())
}
