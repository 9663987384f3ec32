//! The steps of `--generalize`: which of them are taken, what they plan, and their list.

use std::io;

use serde::Serialize;

use super::FixImage;
use crate::check::{Finding, Topic};
use crate::image::Who;
use crate::image::generalize::{self, STEPS, Step};
use crate::plan::Plan;
use crate::report::{Exit, Report, nagios};
use crate::target::Target;
use crate::ui::Ui;

impl FixImage {
    /// Whether a step is wanted, and does no harm.
    pub(super) fn is_taken(&self, step: &Step, target: &Target) -> bool {
        self.takes(step.name) && !(target.is_live() && step.harms.is_some())
    }

    /// Whether a step is wanted.
    fn takes(&self, step: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == step);
        self.generalize && (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }

    /// Returns the wanted steps, and notes those that are left out because the server runs.
    pub(super) fn steps(&self, target: &Target, findings: &mut Vec<Finding>) -> Vec<&'static Step> {
        let mut steps = Vec::new();
        for step in STEPS.iter().filter(|step| self.takes(step.name)) {
            match step.harms {
                Some(harm) if !self.is_taken(step, target) => findings.push(
                    Finding::note(format!("the step {} is left out on a running server", step.name))
                        .because(harm)
                        .about(step.name)
                        .mend("run it on the disk, or on a server built of the image")
                        .of("generalize", Topic::Image),
                ),
                _ => steps.push(step),
            }
        }
        if self.cloud_init && target.is_live() {
            findings.push(
                Finding::note("this server is cloud-init's as well from its next boot on")
                    .because("undo it when the image is taken, if the server is to stay with its agent")
                    .about("cloud-init")
                    .by(&["novactl", "undo"])
                    .of("generalize", Topic::Image),
            );
        }
        if !steps.is_empty() {
            findings.push(
                Finding::warn(
                    "the originals, host keys and history among them, stay in this system's journal",
                )
                .because("undo needs them, and an image that is taken now carries them")
                .about("journal")
                .mend("when you are sure, delete them before the image is taken; the changes stay")
                .by(&["novactl", "undo", "--forget"])
                .of("generalize", Topic::Image),
            );
        }
        steps
    }
}

/// Plans steps, each with its name, for copies that `who` configures.
pub(super) fn planned(
    target: &Target,
    steps: &[&'static Step],
    who: Who,
) -> impl Iterator<Item = (&'static str, anyhow::Result<Plan>)> {
    let mut keep = generalize::keep();
    steps.iter().map(move |step| (step.name, step.plan(target, who, &mut keep)))
}

/// The list of the steps.
#[derive(Serialize)]
pub(super) struct StepList {
    schema: &'static str,
    steps: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    about: &'static str,
    harms_running_server: Option<&'static str>,
}

impl StepList {
    pub(super) fn of_all() -> Self {
        let listed =
            |step: &Step| Listed { name: step.name, about: step.about, harms_running_server: step.harms };
        Self { schema: "novactl.steps/1", steps: STEPS.iter().map(listed).collect() }
    }
}

impl Report for StepList {
    fn human(&self, ui: &mut Ui) -> io::Result<()> {
        for step in &self.steps {
            ui.paragraph(&format!("{:<17} ", step.name), 18, step.about)?;
            if let Some(harm) = step.harms_running_server {
                ui.paragraph("                  ", 18, &format!("not on a running server: {harm}"))?;
            }
        }
        Ok(())
    }

    fn nagios(&self) -> nagios::Line {
        let text = format!("{} steps", self.steps.len());
        nagios::Line { service: "FIX-IMAGE", state: nagios::State::Ok, text, perfdata: Vec::new() }
    }

    fn exit(&self) -> Exit {
        Exit::Ok
    }
}
