//! `novactl explain ID`: what a check means. Works offline: the pages are in the program.

use std::io;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Global, say, trouble};
use crate::check::{self, Topic};
use crate::report::{Exit, Report, nagios};
use crate::ui::Ui;

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The check, as reports name it
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Serialize)]
struct Page {
    schema: &'static str,
    id: &'static str,
    topic: Topic,
    about: &'static str,
    needs: Vec<&'static str>,
    page: &'static str,
}

impl Explain {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let check = check::every().find(|check| check.id.eq_ignore_ascii_case(&self.id));
        let check = check.ok_or_else(|| trouble::no_such_check(&self.id))?;
        let page = Page {
            schema: "novactl.explain/1",
            id: check.id,
            topic: check.topic,
            about: check.about,
            needs: check.needs.words(),
            page: check.page,
        };
        say(global, &page)
    }
}

impl Report for Page {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        let needs = if self.needs.is_empty() { "files only".to_owned() } else { self.needs.join(", ") };
        ui.line(&format!("{}  (topic {}, needs: {needs})", self.id, self.topic.word()))?;
        ui.line("")?;
        self.page.lines().try_for_each(|line| ui.line(line))
    }

    fn nagios(&self) -> nagios::Line {
        nagios::Line {
            service: "EXPLAIN",
            state: nagios::State::Ok,
            text: self.about.to_owned(),
            perfdata: Vec::new(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Ok
    }
}
