//! Which process is an agent.
//!
//! Told by the program that runs, never by a word somewhere on the command line: an editor with the agent's log open,
//! `systemctl restart nova-agent` and this program's other commands are no agents.

use super::Kind;
use crate::facts::processes::Process;

/// Returns which agent a process is, or `None`.
pub fn kind_of(process: &Process) -> Option<Kind> {
    let mut arguments = process.argv.iter().map(String::as_str);
    let program = arguments.next()?;
    let rest: Vec<&str> = arguments.collect();
    let name = file_name(program);
    match name {
        // The C program of 1.x sets no title; its argument is its configuration, nova-agent.py.
        "nova-agent" => Some(if runs_python(process) { Kind::Nova2 } else { Kind::Nova1 }),
        "novactl" => rest.windows(2).any(|pair| pair == ["agent", "run"]).then_some(Kind::Novactl),
        _ if is_python(name) => script_of(&rest).then_some(Kind::Nova2),
        _ => None,
    }
}

/// Whether Python runs the agent: the first argument that is no option names the script.
fn script_of(arguments: &[&str]) -> bool {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "-c" => return false,
            "-m" => {
                return arguments.next().is_some_and(|module| module.split('.').next() == Some("novaagent"));
            }
            // -W and -X take a value of their own
            "-W" | "-X" => {
                arguments.next();
            }
            option if option.starts_with('-') => {}
            script => return file_name(script) == "nova-agent",
        }
    }
    false
}

fn runs_python(process: &Process) -> bool {
    process.exe.as_deref().is_some_and(|exe| is_python(file_name(exe)))
}

/// Whether a program's name is that of a Python interpreter: `python3`, `python3.11`, `platform-python3.6`.
pub(crate) fn is_python(name: &str) -> bool {
    let name = name.strip_prefix("platform-").unwrap_or(name);
    let digits = |rest: &str| rest.chars().all(|c| c.is_ascii_digit() || c == '.');
    name.strip_prefix("python").is_some_and(|rest| digits(rest.trim_end_matches('m')))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_told_by_the_program_that_runs() {
        let cases = [
            (
                "python3 /usr/bin/nova-agent --no-fork True -o /var/log/nova-agent.log -l info",
                Some(Kind::Nova2),
            ),
            ("/usr/bin/python3.6 -s /usr/bin/nova-agent", Some(Kind::Nova2)),
            ("/usr/libexec/platform-python3.6 -W ignore /usr/bin/nova-agent", Some(Kind::Nova2)),
            ("python3 -m novaagent.novaagent", Some(Kind::Nova2)),
            (
                "/usr/sbin/nova-agent -q -p /var/run/nova-agent.pid -o /var/log/nova-agent.log -l info \
                 /usr/share/nova-agent/nova-agent.py",
                Some(Kind::Nova1),
            ),
            ("/usr/sbin/novactl agent run", Some(Kind::Novactl)),
            ("novactl --verbose agent run", Some(Kind::Novactl)),
            ("novactl doctor --root /usr/bin/nova-agent", None),
            ("novactl agent exec version", None),
            ("vi /var/log/nova-agent.log", None),
            ("vi nova-agent", None),
            ("tail -f /var/log/nova-agent.log", None),
            ("sh /etc/init.d/nova-agent start", None),
            ("systemctl restart nova-agent", None),
            ("python3 -c nova-agent", None),
            ("python3 /root/edit.py /usr/bin/nova-agent", None),
            ("python3 /root/nova-agent-report.py", None),
            ("pythonic /usr/bin/nova-agent", None),
            ("", None),
        ];
        for (line, want) in cases {
            let argv: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let process = Process { pid: 1, name: String::new(), exe: None, argv, started: 0 };
            assert_eq!(kind_of(&process), want, "{line}");
        }
    }
}
