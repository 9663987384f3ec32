//! `agentupdate`: a release from a real server in the place of the one that runs, or a refusal that changes nothing.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use md5::{Digest, Md5};
use rustix::process::Signal;

use crate::host::Host;
use crate::{lab, ok};

const OWN: &str = env!("CARGO_PKG_VERSION");

/// What the server has under a name.
enum Page {
    Whole(Vec<u8>),
    /// Ends in the middle, with the length of the whole in its head.
    Truncated(Vec<u8>),
    /// Zeroes, so many of them, and no length in the head.
    Endless(usize),
    /// The request is taken, and nobody answers.
    Silence,
    Moved(&'static str),
    Missing,
}

/// A server on 127.0.0.1; it ends with the test program.
fn serve(pages: Vec<(&'static str, Page)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        // kept, so that they stay open
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let first = lines.next().unwrap_or_default();
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let asked = first.split(' ').nth(1).unwrap_or_default();
            let page = pages.iter().find(|(name, _)| *name == asked).map_or(&Page::Missing, |(_, page)| page);
            if let Page::Silence = page {
                silent.push(stream);
                continue;
            }
            // a client that has enough goes earlier
            let _ = answer(stream, page);
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: TcpStream, page: &Page) -> std::io::Result<()> {
    let mut head =
        |status: &str, rest: String| write!(stream, "HTTP/1.0 {status}\r\nConnection: close\r\n{rest}\r\n");
    let length = |body: &[u8]| format!("Content-Length: {}\r\n", body.len());
    match page {
        Page::Whole(body) => head("200 OK", length(body)).and_then(|()| stream.write_all(body)),
        Page::Truncated(body) => {
            head("200 OK", length(body)).and_then(|()| stream.write_all(&body[..body.len() / 2]))
        }
        Page::Endless(size) => {
            head("200 OK", String::new())?;
            (0..size.div_ceil(1 << 16)).try_for_each(|_| stream.write_all(&[0; 1 << 16]))
        }
        Page::Moved(to) => head("302 Found", format!("Location: {to}\r\nContent-Length: 0\r\n")),
        Page::Missing | Page::Silence => head("404 Not Found", length(b"")),
    }
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the same program as another release: its version is bytes of it, of the same length.
fn as_release(program: &[u8], version: &str) -> Vec<u8> {
    assert_eq!(version.len(), OWN.len());
    let mut other = program.to_vec();
    for place in memchr::memmem::find_iter(program, OWN) {
        other[place..place + version.len()].copy_from_slice(version.as_bytes());
    }
    other
}

/// The agent of a live system: this machine's files under an overlay, in name spaces of its own.
const LIVE: &str = r#"
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/merged"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/merged"
cd "$1/merged"
mount -t proc proc proc
mount --rbind /dev dev
mount -t tmpfs tmpfs tmp
cat "$3" >usr/sbin/novactl
chmod 755 usr/sbin/novactl
mount -t tmpfs tmpfs run
: >run/store
mount --bind "$2" run/store
exec chroot . /usr/sbin/novactl agent run --xenstore /run/store
"#;

/// Starts it; `None` where that cannot be done.
fn start_live(host: &mut Host, program: &Path) -> Option<()> {
    let possible = Command::new("unshare").args(["--mount", "--pid", "--fork", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return lab::skipped("no name spaces for a live agent");
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]);
    unshare.args(["sh", "-euc", LIVE, "sh"]).arg(host.root.path()).arg(&host.socket).arg(program);
    host.start_with(unshare);
    host.until_logged("listening on");
    Some(())
}

/// Returns where the files of the live agent are.
fn live_root(host: &Host) -> PathBuf {
    let pid = host.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    PathBuf::from(format!("/proc/{}/root", children.trim()))
}

/// Returns the journal's entries of this command.
fn updates(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root.join("var/lib/novactl/undo")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().ends_with("-agentupdate")).collect()
}

#[test]
fn only_a_newer_release_takes_the_place_and_what_is_refused_changes_nothing() {
    let Some(mut host) = Host::new(lab::Kind::C) else { return };
    let program = lab::static_novactl();
    let this = std::fs::read(&program).unwrap();
    let newer = as_release(&this, "9.9.9");
    let older = as_release(&this, "0.0.9");
    // the mark says another release than the program is
    let mut liar = this.clone();
    let mark = format!("novactl-release {OWN}\n");
    let place = memchr::memmem::find(&this, mark.as_bytes()).expect("the release has no mark");
    liar[place..place + mark.len()].copy_from_slice(b"novactl-release 9.9.9\n");
    // its entry point leads nowhere
    let mut broken = newer.clone();
    broken[24..32].fill(0);
    let mut tar = vec![0; 10_240];
    tar[..9].copy_from_slice(b"installer");
    tar[257..262].copy_from_slice(b"ustar");
    let cut = newer[..newer.len() / 2].to_vec();
    let refused = [
        ("/newer", md5(b"something else"), "has the MD5"),
        ("/text", md5(b"no program\n"), "it is not an ELF program"),
        ("/same", md5(&this), "is not newer"),
        ("/older", md5(&older), "is not newer"),
        ("/agent.tar", md5(&tar), "a tar archive, such as nova-agent is updated with"),
        ("/other", md5(&std::fs::read("/bin/true").unwrap()), "does not carry the mark of a release"),
        ("/liar", md5(&liar), "the mark says novactl 9.9.9, and the program another release"),
        ("/broken", md5(&broken), "novactl 9.9.9 does not start here"),
        ("/truncated", md5(&newer), "fetching the release"),
        ("/cut", md5(&cut), "refused"),
        ("/missing", md5(b""), "fetching the release"),
        ("/large", md5(&vec![0; 33 << 20]), "larger than 33554432 bytes"),
        ("/silence", md5(b""), "no end within 20 s, killed"),
    ];
    let server = serve(vec![
        ("/newer", Page::Whole(newer.clone())),
        ("/moved", Page::Moved("/newer")),
        ("/text", Page::Whole(b"no program\n".to_vec())),
        ("/same", Page::Whole(this.clone())),
        ("/older", Page::Whole(older)),
        ("/agent.tar", Page::Whole(tar)),
        ("/other", Page::Whole(std::fs::read("/bin/true").unwrap())),
        ("/liar", Page::Whole(liar)),
        ("/broken", Page::Whole(broken)),
        ("/truncated", Page::Truncated(newer.clone())),
        ("/cut", Page::Whole(cut)),
        ("/large", Page::Endless(33 << 20)),
        ("/silence", Page::Silence),
    ]);
    let Some(()) = start_live(&mut host, &program) else { return };
    let root = live_root(&host);
    let installed = || std::fs::read(root.join("usr/sbin/novactl")).unwrap();
    let version = |release: &str| ok(&format!("2.1.25.{release}"));
    assert_eq!(host.ask("version", "agent"), version(OWN));

    for (name, sum, why) in &refused {
        let (code, message) = host.ask("agentupdate", format!("{server}{name},{sum}"));
        assert!(code == "500" && message.contains(why), "{name}: {code} {message}\n{}", host.log());
        assert!(installed() == this, "{name} changed the program");
        host.until_idle();
    }
    assert_eq!(host.ask("version", "agent"), version(OWN), "{}", host.log());
    assert!(!host.log().contains("going on as"), "{}", host.log());
    assert_eq!(updates(&root), Vec::<PathBuf>::new(), "what does not start is never put in place");
    assert!(!root.join("usr/sbin/.novactl.trial").exists());

    // by a redirection, as releases are often served
    let update = host.send("agentupdate", format!("{server}/moved,{}", md5(&newer)));
    assert_eq!(host.answer(&update), ok(""), "{}", host.log());
    host.until_logged("Agent is starting up: novactl 9.9.9");
    assert!(installed() == newer);
    let mode = std::fs::metadata(root.join("usr/sbin/novactl")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o755);
    assert_eq!(host.ask("version", "agent"), version("9.9.9"), "{}", host.log());
    assert!(host.is_alive());

    // killed after it was put in place and before it was kept
    let record = updates(&root).pop().unwrap().join("record.json");
    let text = std::fs::read_to_string(&record).unwrap();
    assert!(text.contains(r#""state": "done""#), "{text}");
    std::fs::write(&record, text.replace(r#""state": "done""#, r#""state": "open""#)).unwrap();
    let again = host.ask("agentupdate", format!("{server}/moved,{}", md5(&newer)));
    assert_eq!(again, ok(""), "{}", host.log());
    assert!(host.log().contains("had been interrupted and was taken back"), "{}", host.log());
    assert!(installed() == newer && !root.join("usr/sbin/.novactl.trial").exists());
    assert_eq!(host.ask("version", "agent"), version("9.9.9"), "{}", host.log());

    // it can be had back
    let mut undo = Command::new("chroot");
    undo.arg(&root).args(["/usr/sbin/novactl", "undo", "--yes"]);
    let undone = undo.output().unwrap();
    assert!(undone.status.success(), "{undone:?}");
    assert!(installed() == this);
}

#[test]
fn under_a_root_the_file_is_replaced_and_the_program_goes_on() {
    // any program of this system with a mark stands for a release
    let release = |version: &str| {
        [std::fs::read("/bin/true").unwrap(), format!("novactl-release {version}\n").into()].concat()
    };
    let Some(mut host) = Host::new(lab::Kind::C) else { return };
    let server = serve(vec![("/newer", Page::Whole(release("9.9.9")))]);
    let program = host.root.path().join("usr/sbin/novactl");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, release(OWN)).unwrap();
    host.start();
    assert_eq!(
        host.ask("agentupdate", format!("{server}/newer,{}", md5(&release("9.9.9")))),
        ok(""),
        "{}",
        host.log()
    );
    assert!(host.file("usr/sbin/novactl") == release("9.9.9"));
    assert_eq!(host.ask("version", "agent"), ok(&format!("2.1.25.{OWN}")));
    assert!(host.no_change_is_open());
    assert_eq!(host.end(Signal::TERM), Some(0));

    let mut undo = Command::new(env!("CARGO_BIN_EXE_novactl"));
    let undone = undo.args(["undo", "--yes", "--root"]).arg(host.root.path()).output().unwrap();
    assert!(undone.status.success(), "{undone:?}");
    assert!(host.file("usr/sbin/novactl") == release(OWN));
}
