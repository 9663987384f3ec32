//! Apply and undo, on real trees.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::anyhow;

use super::journal::{self, Journal, State, Turn};
use super::*;
use crate::target::Target;
use crate::xenstore::Source;

struct Guest {
    dir: tempfile::TempDir,
    target: Target,
}

impl Guest {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/old"), "one\ntwo\n").unwrap();
        std::fs::write(dir.path().join("etc/gone"), "retired\n").unwrap();
        symlink("old", dir.path().join("etc/link")).unwrap();
        std::fs::set_permissions(dir.path().join("etc/old"), std::fs::Permissions::from_mode(0o640)).unwrap();
        let target = Target::offline(dir.path(), Source::None).unwrap();
        Self { dir, target }
    }

    fn live(mut self) -> Self {
        self.target = Target::pretending_to_be_live(self.dir.path());
        self
    }

    /// Every path with its kind, mode, time, attributes and content, without the journal.
    fn picture(&self) -> Vec<String> {
        let mut seen = Vec::new();
        fn look(root: &Root, base: &Path, dir: &Path, seen: &mut Vec<String>) {
            let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
            entries.sort();
            for path in entries {
                let name = path.strip_prefix(base).unwrap().to_str().unwrap();
                if name == "var/lib/novactl" {
                    continue;
                }
                if path.is_dir() && !path.is_symlink() {
                    seen.push(format!("{name}/"));
                    look(root, base, &path, seen);
                } else if let Node::File(file) = root.node(name).unwrap() {
                    let body = String::from_utf8_lossy(&file.body).into_owned();
                    seen.push(format!("{name} {:o} {:?} {:?} {body}", file.mode, file.mtime, file.xattrs));
                } else {
                    seen.push(format!("{name} {:?}", root.node(name).unwrap()));
                }
            }
        }
        look(&self.target.root, self.dir.path(), self.dir.path(), &mut seen);
        seen
    }

    fn prepared(&self, plan: Plan) -> Prepared {
        plan.prepare(&self.target.root).unwrap()
    }
}

fn plan() -> Plan {
    Plan {
        verb: "test",
        title: "a test".to_owned(),
        files: vec![
            FileChange::write("etc/old", "one\nTWO\n"),
            FileChange::write("etc/new/deep/file", "fresh\n"),
            FileChange::Remove { path: "etc/gone".to_owned() },
            FileChange::Link { path: "etc/there".to_owned(), to: "old".to_owned() },
        ],
        ..Plan::default()
    }
}

fn quiet() -> Interrupt {
    Interrupt::default()
}

#[test]
fn undo_brings_back_content_mode_time_links_and_directories() {
    let guest = Guest::new();
    rustix::fs::setxattr(
        guest.dir.path().join("etc/old"),
        "user.label",
        b"x",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    let before = guest.picture();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let before_with_dirs = guest.picture();
    let record = guest.prepared(plan()).apply(&guest.target, &journal, &quiet()).unwrap().keep(None).unwrap();
    assert_ne!(guest.picture(), before);
    assert_eq!(std::fs::read_to_string(guest.dir.path().join("etc/old")).unwrap(), "one\nTWO\n");
    let Node::File(changed) = guest.target.root.node("etc/old").unwrap() else { panic!("no file") };
    assert_eq!((changed.mode, changed.xattrs), (0o640, vec![("user.label".to_owned(), b"x".to_vec())]));

    let back = undo(&guest.target.root, &record, Edits::Refuse).unwrap();
    guest.prepared(back).apply(&guest.target, &journal, &quiet()).unwrap().keep(None).unwrap();
    remove_made_dirs(&guest.target.root, &record).unwrap();
    assert_eq!(guest.picture(), before_with_dirs);
}

#[test]
fn what_is_discarded_goes_last_and_only_when_the_change_is_kept() {
    let guest = Guest::new();
    let before = guest.picture();
    let discard = |path: &str, leaves| Discard { path: path.to_owned(), size: 8, leaves };
    let discards = vec![discard("etc/gone", Leaves::Nothing), discard("etc/old", Leaves::Empty)];
    let files = vec![FileChange::write("etc/new", "fresh\n")];
    let plan = Plan { verb: "test", files, discards, ..Plan::default() };
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let applied = guest.prepared(plan.clone()).apply(&guest.target, &journal, &quiet()).unwrap();
    assert!(guest.dir.path().join("etc/gone").exists(), "not before it is kept");
    applied.take_back(anyhow!("it did not verify"));
    assert_eq!(
        guest.picture().into_iter().filter(|line| line.starts_with("etc")).collect::<Vec<_>>(),
        before,
        "nothing is lost when it is taken back"
    );
    let applied = guest.prepared(plan).apply(&guest.target, &journal, &quiet()).unwrap();
    let record = applied.keep(None).unwrap();
    assert!(!guest.dir.path().join("etc/gone").exists());
    let Node::File(old) = guest.target.root.node("etc/old").unwrap() else { panic!("no file") };
    assert_eq!((old.body, old.mode), (Vec::new(), 0o640));
    assert_eq!(record.discarded.len(), 2);
}

#[test]
fn a_plan_that_was_applied_is_empty_the_second_time() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    guest.prepared(plan()).apply(&guest.target, &journal, &quiet()).unwrap().keep(None).unwrap();
    assert!(guest.prepared(plan()).is_empty());
}

#[test]
fn making_and_showing_a_plan_changes_nothing() {
    let guest = Guest::new();
    let before = guest.picture();
    let preview = guest.prepared(plan()).preview();
    assert_eq!(guest.picture(), before);
    assert_eq!(
        preview.files.iter().map(|c| (c.path.as_str(), c.action)).collect::<Vec<_>>(),
        [
            ("/etc/old", "write"),
            ("/etc/new/deep/file", "write"),
            ("/etc/gone", "remove"),
            ("/etc/there", "link")
        ]
    );
    assert!(preview.files[0].diff.contains("-two\n+TWO\n"), "{}", preview.files[0].diff);
}

#[test]
fn a_secret_is_not_in_the_preview_or_in_debug_output() {
    let guest = Guest::new();
    let secret = FileChange::Write {
        path: "etc/shadow".to_owned(),
        body: b"root:hunter2:".to_vec(),
        mode: Some(0o600),
        secret: Secrecy::Secret,
    };
    let prepared = guest.prepared(Plan { files: vec![secret.clone()], ..plan() });
    let shown = format!("{:?} {:?} {:?}", prepared.preview(), prepared, secret);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_file_that_somebody_else_changed_is_refused() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let prepared = guest.prepared(plan());
    std::fs::write(guest.dir.path().join("etc/old"), "edited\n").unwrap();
    let before = guest.picture();
    let error = prepared.apply(&guest.target, &journal, &quiet()).unwrap_err();
    assert!(matches!(error, ApplyError::Refused(_)), "{error}");
    assert_eq!(guest.picture(), before);
}

#[test]
fn undo_does_not_lose_what_was_edited_since() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let record = guest.prepared(plan()).apply(&guest.target, &journal, &quiet()).unwrap().keep(None).unwrap();
    std::fs::write(guest.dir.path().join("etc/old"), "edited\n").unwrap();
    let error = undo(&guest.target.root, &record, Edits::Refuse).unwrap_err().to_string();
    assert!(error.contains("etc/old was changed since"), "{error}");
    assert!(undo(&guest.target.root, &record, Edits::Overwrite).is_ok());
}

#[test]
fn a_change_that_was_interrupted_is_taken_back_at_the_next_start() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let before = guest.picture();
    // as when the program is killed before it could confirm
    drop(guest.prepared(plan()).apply(&guest.target, &journal, &quiet()).unwrap());
    assert_ne!(guest.picture(), before);
    let recovered = recover(&guest.target, &journal).unwrap();
    assert_eq!(recovered.len(), 1);
    assert_eq!(guest.picture(), before);
    assert_eq!(recover(&guest.target, &journal).unwrap(), Vec::<String>::new());
}

#[test]
fn a_signal_between_two_steps_takes_everything_back() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let before = guest.picture();
    let interrupt = Interrupt::on_signals().unwrap();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    while !interrupt.is_set() {
        std::thread::yield_now();
    }
    let error = guest.prepared(plan()).apply(&guest.target, &journal, &interrupt).unwrap_err();
    assert!(matches!(error, ApplyError::Interrupted), "{error}");
    assert_eq!(guest.picture(), before);
}

#[test]
fn a_program_that_fails_takes_files_and_earlier_steps_back() {
    let guest = Guest::new().live();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let before = guest.picture();
    let trace = guest.dir.path().join("trace");
    let trace = trace.to_str().unwrap();
    let step = LiveStep {
        run: Cmd::new(&["sh", "-c", &format!("echo up >>{trace}")]),
        back: Some(Cmd::new(&["sh", "-c", &format!("echo down >>{trace}")])),
        needs: Needs::Any,
    };
    let fails = Cmd::new(&["sh", "-c", "echo no such interface >&2; exit 7"]);
    let plan = Plan { steps: vec![step], activate: vec![fails], ..plan() };
    let error = guest.prepared(plan).apply(&guest.target, &journal, &quiet()).unwrap_err();
    // the program fails again when the files are back, which is said
    let ApplyError::Stuck { cause, left } = error else { panic!("{error}") };
    assert!(format!("{cause:#}").contains("no such interface"), "{cause:#}");
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(std::fs::read_to_string(trace).unwrap(), "up\ndown\n");
    std::fs::remove_file(trace).unwrap();
    assert_eq!(guest.picture(), before);
}

#[test]
fn a_service_that_a_plan_brings_is_stopped_while_its_file_is_there() {
    let guest = Guest::new().live();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let (trace, script) = (guest.dir.path().join("trace"), guest.dir.path().join("etc/service"));
    let said = |what: &str| {
        let line = format!("echo {what} $(cat {} || echo without) >>{}", script.display(), trace.display());
        Cmd::new(&["sh", "-c", &line])
    };
    let own = LiveStep { run: said("start"), back: Some(said("stop")), needs: Needs::New };
    let other = LiveStep { run: said("other-stop"), back: Some(said("other-start")), needs: Needs::Any };
    let files = || vec![FileChange::write("etc/service", "with")];
    let brings = |activate: Vec<Cmd>| Plan {
        files: files(),
        steps: vec![other.clone(), own.clone()],
        activate,
        ..plan_of_nothing()
    };
    let made = ["other-stop with", "start with"];
    let back = ["stop with", "other-start without"];
    let traced = || {
        let text = std::fs::read_to_string(&trace).unwrap();
        std::fs::remove_file(&trace).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };

    let apply = |plan: Plan| guest.prepared(plan).apply(&guest.target, &journal, &quiet());
    let record = apply(brings(Vec::new())).unwrap().keep(None).unwrap();
    assert_eq!(traced(), made);
    let undo = || super::undo(&guest.target.root, &record, Edits::Refuse).unwrap();
    // an undo that fails goes the whole way back as well
    let fails = vec![Cmd::new(&["sh", "-c", "exit 7"])];
    assert!(apply(Plan { activate: fails.clone(), ..undo() }).is_err());
    assert_eq!(traced(), [back, ["other-stop with", "start with"]].concat());
    apply(undo()).unwrap().keep(None).unwrap();
    assert_eq!(traced(), back);
    assert!(apply(brings(fails)).is_err());
    assert_eq!(traced(), [made, back].concat());
}

#[test]
fn programs_of_a_system_that_does_not_run_are_never_run() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let plan = Plan { activate: vec![Cmd::new(&["false"])], ..plan() };
    assert!(guest.prepared(plan).apply(&guest.target, &journal, &quiet()).is_ok());
}

#[test]
fn a_change_that_does_not_verify_is_taken_back() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let before = guest.picture();
    let applied = guest.prepared(plan()).apply(&guest.target, &journal, &quiet()).unwrap();
    let error = applied.take_back(anyhow!("the check still fails"));
    assert!(matches!(error, ApplyError::RolledBack(_)), "{error}");
    assert_eq!(guest.picture(), before);
    assert_eq!(journal::list(&guest.target.root).unwrap()[0].state, State::Undone);
}

#[test]
fn a_second_change_at_the_same_time_is_refused() {
    let guest = Guest::new();
    let _first = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let error = Journal::open(&guest.target.root, Turn::Now).unwrap_err().to_string();
    assert!(error.contains("another novactl"), "{error}");
}

#[test]
fn a_write_goes_through_a_link_and_the_link_stays() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let plan = Plan { files: vec![FileChange::write("etc/link", "through\n")], ..plan() };
    guest.prepared(plan).apply(&guest.target, &journal, &quiet()).unwrap().keep(None).unwrap();
    assert_eq!(guest.target.root.node("etc/link").unwrap(), Node::Link("old".to_owned()));
    assert_eq!(guest.target.root.read("etc/old").unwrap(), b"through\n");
}

#[test]
fn a_link_out_of_the_root_is_written_inside_of_it() {
    let guest = Guest::new();
    let canary = tempfile::tempdir().unwrap();
    symlink(canary.path(), guest.dir.path().join("etc/outside")).unwrap();
    symlink("../../../../../../etc", guest.dir.path().join("up")).unwrap();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    let plan = Plan { files: vec![FileChange::write("up/escaped", "x")], ..plan() };
    guest.prepared(plan).apply(&guest.target, &journal, &quiet()).unwrap().keep(None).unwrap();
    assert!(guest.dir.path().join("etc/escaped").is_file());
    let plan = Plan { files: vec![FileChange::write("etc/outside/escaped", "x")], ..plan_of_nothing() };
    // the absolute link leads to a directory that does not exist inside the root
    assert!(plan.prepare(&guest.target.root).unwrap().apply(&guest.target, &journal, &quiet()).is_err());
    assert_eq!(std::fs::read_dir(canary.path()).unwrap().count(), 0);
}

fn plan_of_nothing() -> Plan {
    Plan { verb: "test", ..Plan::default() }
}

#[test]
fn two_changes_of_one_path_contradict_each_other() {
    let guest = Guest::new();
    let mut first = plan();
    let second = Plan { files: vec![FileChange::write("etc/old", "other\n")], ..plan_of_nothing() };
    let root = &guest.target.root;
    assert!(first.merge(second.clone(), root).unwrap_err().to_string().contains("etc/old"));
    assert!(first.merge(plan(), root).is_ok());
    let twice = Plan {
        files: vec![FileChange::write("etc/old", "a"), FileChange::write("etc/link", "b")],
        ..plan_of_nothing()
    };
    assert!(twice.prepare(&guest.target.root).unwrap_err().to_string().contains("changed twice"));
}

#[test]
fn two_changes_of_different_lines_of_a_text_are_one() {
    let guest = Guest::new();
    let root = &guest.target.root;
    let stands = "hostname=a\nnova_agent_enable=NO\nsshd_enable=YES\n";
    std::fs::write(guest.dir.path().join("etc/rc.conf"), stands).unwrap();
    let of = |body: &str| Plan { files: vec![FileChange::write("etc/rc.conf", body)], ..plan_of_nothing() };
    for (mine, others, both) in [
        // side by side
        (
            "hostname=b\nnova_agent_enable=NO\nsshd_enable=YES\n",
            "hostname=a\nnova_agent_enable=YES\nsshd_enable=YES\n",
            Some("hostname=b\nnova_agent_enable=YES\nsshd_enable=YES\n"),
        ),
        (
            "nova_agent_enable=NO\nsshd_enable=YES\n",
            "hostname=a\nnova_agent_enable=NO\nsshd_enable=YES\nx=1\n",
            Some("nova_agent_enable=NO\nsshd_enable=YES\nx=1\n"),
        ),
        (
            "hostname=b\nnova_agent_enable=NO\nsshd_enable=YES\n",
            "hostname=c\nnova_agent_enable=NO\nsshd_enable=YES\n",
            None,
        ),
    ] {
        let mut plan = of(mine);
        let merged = plan.merge(of(others), root);
        let FileChange::Write { body, .. } = &plan.files[0] else { panic!("{plan:?}") };
        let text = merged.is_ok().then(|| String::from_utf8_lossy(body).into_owned());
        assert_eq!(text.as_deref(), both, "{mine} and {others}");
    }
}

#[test]
fn the_oldest_entries_beyond_ten_are_dropped() {
    let guest = Guest::new();
    let journal = Journal::open(&guest.target.root, Turn::Now).unwrap();
    for number in 0..12 {
        let plan =
            Plan { files: vec![FileChange::write("etc/old", format!("{number}\n"))], ..plan_of_nothing() };
        guest.prepared(plan).apply(&guest.target, &journal, &quiet()).unwrap().keep(None).unwrap();
    }
    assert_eq!(journal::list(&guest.target.root).unwrap().len(), 10);
}

#[test]
fn a_full_file_system_leaves_every_file_as_it_was() {
    let Some(tmpfs) = SmallFileSystem::mount() else { return };
    let target = Target::offline(&tmpfs.0, Source::None).unwrap();
    std::fs::write(tmpfs.0.join("conf"), "old\n").unwrap();
    let journal = Journal::open(&target.root, Turn::Now).unwrap();
    let big = vec![b'x'; 4 << 20];
    let plan = Plan {
        files: vec![FileChange::write("conf", "new\n"), FileChange::write("big", big)],
        ..plan_of_nothing()
    };
    let error = plan.prepare(&target.root).unwrap().apply(&target, &journal, &quiet()).unwrap_err();
    assert!(matches!(error, ApplyError::RolledBack(_)), "{error}");
    assert_eq!(std::fs::read_to_string(tmpfs.0.join("conf")).unwrap(), "old\n");
    let names: Vec<_> = target.root.read_dir(".").unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["conf", "var"]);
}

/// A file system of 1 MiB in a mount namespace of this thread's own.
struct SmallFileSystem(std::path::PathBuf);

impl SmallFileSystem {
    #[expect(clippy::print_stdout, reason = "says what was skipped")]
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap().keep();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "novactl-test"])
            .arg(&dir)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(dir)),
            _ => {
                println!("skipped: mounting a small file system needs root");
                None
            }
        }
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}
