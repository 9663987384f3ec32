//! Upstart jobs: etc/init/NAME.conf and its NAME.override (init(5) of upstart).

use anyhow::Result;

use super::{Enabled, Init, Service};
use crate::root::Root;

/// Returns the job of this name; `None` where there is none.
///
/// # Errors
/// A file of it cannot be read.
pub(super) fn named(root: &Root, name: &str) -> Result<Option<Service>> {
    let path = format!("etc/init/{name}.conf");
    let Some(text) = root.text_opt(&path)? else { return Ok(None) };
    let mut enabled = Enabled::No(format!("{path} has no \"start on\""));
    judge(&path, &text, &mut enabled);
    // upstart 0.6 of EL6 knows neither overrides nor `manual`; nobody writes them there
    let override_path = format!("etc/init/{name}.override");
    if let Some(text) = root.text_opt(&override_path)? {
        judge(&override_path, &text, &mut enabled);
    }
    let name = name.to_owned();
    Ok(Some(Service { name, init: Init::Upstart, path, enabled, unit: None, order: None }))
}

/// Applies the stanzas of a file in their order: each `start on` replaces what was said before, and so does `manual`.
fn judge(path: &str, text: &str, enabled: &mut Enabled) {
    let mut is_script = false;
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let first = words.next();
        let second = words.next();
        match (first, second) {
            (Some("end"), Some("script")) => is_script = false,
            _ if is_script => {}
            (Some("script"), _)
            | (Some("pre-start" | "post-start" | "pre-stop" | "post-stop"), Some("script")) => {
                is_script = true;
            }
            (Some("start"), Some("on")) => *enabled = Enabled::Yes(format!("{path}:{}", number + 1)),
            (Some("manual"), None) => *enabled = Enabled::No(format!("{path}:{}: manual", number + 1)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tree::Tree;
    use proptest::prelude::*;

    #[test]
    fn the_last_start_on_or_manual_counts() {
        const JOB: &str = "description \"x\"\nstart on runlevel [2345]\nexec x\n";
        let yes = |source: &str| Enabled::Yes(source.to_owned());
        let no = |reason: &str| Enabled::No(reason.to_owned());
        for (job, in_override, expected) in [
            (JOB, None, yes("etc/init/a.conf:2")),
            ("exec x\n", None, no("etc/init/a.conf has no \"start on\"")),
            (
                "#start on x\nscript\nstart on x\nend script\n",
                None,
                no("etc/init/a.conf has no \"start on\""),
            ),
            ("pre-start script\n manual\nend script\nstart on x\n", None, yes("etc/init/a.conf:4")),
            ("start on x\nmanual\n", None, no("etc/init/a.conf:2: manual")),
            ("manual\nstart on x\n", None, yes("etc/init/a.conf:2")),
            (JOB, Some("manual\n"), no("etc/init/a.override:1: manual")),
            (JOB, Some("manual\nstart on startup\n"), yes("etc/init/a.override:2")),
        ] {
            let mut files = vec![("etc/init/a.conf", job)];
            files.extend(in_override.map(|text| ("etc/init/a.override", text)));
            let service = named(&Tree::of(&files).root(), "a").unwrap().unwrap();
            assert_eq!(service.enabled, expected, "{job} {in_override:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            judge("x", &text, &mut Enabled::No(String::new()));
        }
    }
}
