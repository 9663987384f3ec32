//! `novactl doctor`.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::Global;
use crate::check::{self, Finding, Limits, Selection};
use crate::report::{Exit, Report, nagios};
use crate::ui::Ui;

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Run only these checks
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,
}

/// What `doctor` has to say.
#[derive(Debug, Serialize)]
pub struct DoctorReport {
    findings: Vec<Finding>,
}

impl Doctor {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<DoctorReport> {
        let target = Arc::new(global.target()?);
        let selection = Selection { only: self.only.clone(), ..Selection::default() };
        Ok(DoctorReport { findings: check::run(&target, &selection.checks()?, Limits::default()) })
    }
}

impl Report for DoctorReport {
    fn human(&self, ui: &mut Ui) -> std::io::Result<()> {
        for finding in &self.findings {
            ui.headed(
                finding.status,
                finding.status.word(),
                &format!("  {}  {}", finding.id, finding.title),
            )?;
        }
        Ok(())
    }

    fn nagios(&self) -> nagios::Line {
        nagios::Line {
            service: "DOCTOR",
            state: nagios::State::Ok,
            text: String::new(),
            perfdata: Vec::new(),
        }
    }

    fn exit(&self) -> Exit {
        Exit::Ok
    }
}
