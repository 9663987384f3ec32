//! What the agent's Python source says: its version and the modules that it imports when it starts.
//!
//! This is no Python parser. The version is the assignment that every release has; an import counts when it stands
//! at the beginning of a line: one inside `try:` or a function is indented, and its absence does not end the agent.

/// Modules outside Python's own library that a release of the agent imports. A name that is not here is the
/// agent's own or Python's, and never judged.
const FOREIGN: [&str; 8] =
    ["Crypto", "cryptography", "distro", "netifaces", "pkg_resources", "pyxs", "six", "yaml"];

/// Returns the value of `__version__`, or `None`.
pub(super) fn version(text: &str) -> Option<String> {
    let value =
        text.lines().find_map(|line| line.strip_prefix("__version__")?.trim_start().strip_prefix('='))?;
    let value = value.trim();
    let quote = value.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let version = value[1..].split(quote).next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    (!version.is_empty() && version.len() <= 32 && version.chars().all(plain)).then(|| version.to_owned())
}

/// Adds the foreign modules that a source file imports at its top level.
pub(super) fn add_imports(text: &str, imports: &mut Vec<String>) {
    for line in text.lines() {
        let named = match line.split_once(' ') {
            Some(("import", names)) => names.split(',').collect(),
            Some(("from", rest)) => vec![rest],
            _ => continue,
        };
        for name in named {
            let top = name.trim_start().split(|c: char| !(c.is_alphanumeric() || c == '_')).next();
            let known = top.and_then(|top| FOREIGN.into_iter().find(|foreign| *foreign == top));
            if let Some(module) = known
                && !imports.iter().any(|import| import == module)
            {
                imports.push(module.to_owned());
            }
        }
    }
    imports.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_is_the_assigned_text() {
        let cases = [
            ("\n__version__ = '2.1.25'\n", Some("2.1.25")),
            ("# x\n__version__=\"2.1.16\" # y", Some("2.1.16")),
            ("__version__ = get()", None),
            ("__version__ = '", None),
            ("__version__ = '\u{1b}[31m'", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(version(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn only_foreign_imports_at_the_top_level_count() {
        let text = "from __future__ import absolute_import\nimport os, yaml\nimport six.moves\n\
                    from pyxs.client import Client\ntry:\n    import netifaces\nexcept ImportError:\n    pass\n\
                    # import distro\nfrom Cryptodome import x\nimport osyaml\n";
        let mut imports = vec!["pyxs".to_owned()];
        add_imports(text, &mut imports);
        assert_eq!(imports, ["pyxs", "six", "yaml"]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*|(import|from|__version__)[ =',\"a-z.\n]{0,40}") {
            version(&text);
            add_imports(&text, &mut Vec::new());
        }
    }
}
