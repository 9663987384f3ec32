//! What is generated from the command line and committed: man pages and shell completions.
//!
//! `UPDATE=1 cargo test --test generated` writes them anew.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking and runs what it tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::Shell;
use novactl::cli::Cli;

#[test]
fn man_pages_are_those_of_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    // Not built before: `generate_to` builds it, and building twice adds stray help pages.
    clap_mangen::generate_to(Cli::command(), dir.path()).unwrap();
    compare(dir.path(), "man");
}

#[test]
fn completions_are_those_of_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "novactl", dir.path()).unwrap();
    }
    compare(dir.path(), "completions");
}

#[test]
fn the_command_line_is_sound_and_fits_80_columns() {
    let mut command = Cli::command();
    command.clone().debug_assert();
    let mut pages = vec![("novactl".to_owned(), command.render_long_help().to_string())];
    for sub in command.get_subcommands_mut() {
        pages.push((sub.get_name().to_owned(), sub.render_long_help().to_string()));
    }
    for (name, page) in pages {
        for line in page.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

/// Compares every file made with the committed one; with `UPDATE` set, commits it.
fn compare(made: &Path, name: &str) {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::remove_dir_all(&committed).unwrap();
        fs::create_dir_all(&committed).unwrap();
        for (file, text) in files(made) {
            fs::write(committed.join(file), text).unwrap();
        }
    }
    let (made, committed) = (files(made), files(&committed));
    assert_eq!(
        made.keys().collect::<Vec<_>>(),
        committed.keys().collect::<Vec<_>>(),
        "files in {name}/: run UPDATE=1 cargo test --test generated"
    );
    for (file, text) in made {
        assert!(
            text == committed[&file],
            "{name}/{} is old: UPDATE=1 cargo test --test generated",
            file.display()
        );
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().into(), fs::read_to_string(path).unwrap())).collect()
}
