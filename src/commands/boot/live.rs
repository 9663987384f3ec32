//! Services started and stopped now, on the running system.

use std::time::Duration;

use crate::exec::Cmd;
use crate::facts::init::Init;
use crate::plan::{LiveStep, Needs};

/// How long a service may take to stop or start: a command at hand is finished first.
const LIMIT: Duration = Duration::from_secs(100);

/// How long the manager may take to read its files.
const RELOAD_LIMIT: Duration = Duration::from_secs(30);

/// Returns the step that does `run` to a service (`start`, `stop`, `restart`), and `back` when it is taken back.
pub fn switch(init: Init, name: &str, run: &str, back: Option<&str>) -> LiveStep {
    let command = |verb: &str| match init {
        Init::Systemd => Cmd::new(&["systemctl", verb, &format!("{name}.service")]),
        Init::OpenRc => Cmd::new(&["rc-service", name, verb]),
        Init::Upstart | Init::SysV | Init::BsdRc | Init::Unknown => Cmd::new(&["service", name, verb]),
    };
    LiveStep {
        run: command(run).within(LIMIT),
        back: back.map(|verb| command(verb).within(LIMIT)),
        needs: Needs::Any,
    }
}

/// Returns the step that has the manager read its files anew; `None` where it reads them each time.
pub fn reload(init: Init) -> Option<LiveStep> {
    let cmd = match init {
        Init::Systemd => Cmd::new(&["systemctl", "daemon-reload"]),
        Init::Upstart => Cmd::new(&["initctl", "reload-configuration"]),
        Init::SysV | Init::OpenRc | Init::BsdRc | Init::Unknown => return None,
    };
    let cmd = cmd.within(RELOAD_LIMIT);
    Some(LiveStep { run: cmd.clone(), back: Some(cmd), needs: Needs::Any })
}
