//! upstart jobs: init(5).

use anyhow::Result;

use super::{Enabled, Init, Service};
use crate::root::Root;

/// Returns the job of this name, or `None`.
pub(super) fn find(root: &Root, name: &str) -> Result<Option<Service>> {
    let path = format!("etc/init/{name}.conf");
    let Some(job) = root.text_opt(&path)? else { return Ok(None) };
    let over = format!("etc/init/{name}.override");
    let text = root.text_opt(&over)?;
    let overridden = text.map(|text| (over, text));
    Ok(Some(Service {
        name: name.to_owned(),
        init: Init::Upstart,
        enabled: enabled(&path, &job, overridden.as_ref().map(|(over, text)| (over.as_str(), text.as_str()))),
        path,
        unit: None,
        order: None,
    }))
}

/// `manual` undoes the `start on` before it; the override file is read after the job.
fn enabled(path: &str, job: &str, over: Option<(&str, &str)>) -> Enabled {
    let mut enabled = Enabled::No(format!("{path}: no `start on`"));
    for (path, text) in std::iter::once((path, job)).chain(over) {
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let source = format!("{path}:{}", number + 1);
            match words.as_slice() {
                ["manual", ..] => enabled = Enabled::No(format!("{source}: manual")),
                ["start", "on", ..] => enabled = Enabled::Yes(source),
                // a script's own text is not ours to read
                ["script" | "pre-start" | "post-start" | "pre-stop" | "post-stop", ..] => break,
                _ => {}
            }
        }
    }
    enabled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_and_the_last_word_count() {
        let job = "description \"x\"\nstart on runlevel [2345]\nscript\n  manual\nend script\n";
        assert_eq!(enabled("j", job, None), Enabled::Yes("j:2".to_owned()));
        assert_eq!(enabled("j", job, Some(("o", "# no\nmanual\n"))), Enabled::No("o:2: manual".to_owned()));
        assert_eq!(enabled("j", "exec x\n", None), Enabled::No("j: no `start on`".to_owned()));
        assert_eq!(enabled("j", "manual\nstart on startup\n", None), Enabled::Yes("j:2".to_owned()));
    }
}
