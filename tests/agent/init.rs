//! The agent under sysvinit and OpenRC, booted for real; `agent_container.rs` has systemd.

use std::process::Command;

use crate::lab;

#[test]
fn installed_killed_at_work_and_uninstalled_where_systemd_is_not() {
    for program in ["mmdebstrap", "systemd-nspawn", "nsenter"] {
        if Command::new(program).arg("--version").output().is_err() {
            lab::skipped::<()>(&format!("no {program}"));
            return;
        }
    }
    let program = lab::static_novactl();
    for kind in ["sysv", "openrc"] {
        let mut life = Command::new(lab::scripts().join("agent-init.sh"));
        let output = life.arg(kind).arg(&program).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}
