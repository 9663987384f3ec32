//! Every crate in the binary has a licence that may be shipped under Apache-2.0.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

use std::process::Command;

use serde_json::Value;

/// Licences whose terms a static binary under Apache-2.0 can keep.
const ALLOWED: [&str; 9] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "0BSD",
];

#[test]
fn every_crate_in_the_binary_may_be_shipped() {
    let packages = shipped();
    assert!(packages.len() > 10, "{packages:?}");
    for (name, licence) in packages {
        assert!(is_allowed(&licence), "{name}: {licence}");
    }
}

#[test]
fn copyleft_is_refused() {
    assert!(is_allowed("MIT OR GPL-3.0-only"));
    assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!is_allowed("GPL-2.0-or-later"));
    assert!(!is_allowed("MIT AND LGPL-3.0-only"));
    assert!(!is_allowed(""));
}

/// Judges an SPDX expression: one side of each OR, both sides of each AND.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" AND ").all(|all| all.split(" OR ").any(|licence| ALLOWED.contains(&licence.trim())))
}

/// Returns name and licence of every crate that is linked into the binary on Linux.
fn shipped() -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--format", "{p}\t{l}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(package, licence)| (package.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
        .collect()
}

#[test]
fn the_own_licence_is_the_one_in_the_tree() {
    let manifest: Value = {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(manifest["packages"][0]["license"], "Apache-2.0");
    assert!(include_str!("../LICENSE").contains("Apache License"));
}
