//! `set-password` from the outside: hashes that libcrypt checks, PAM that lets in, locks that are waited for, and a
//! secret that is nowhere.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test fails by panicking, makes trees, runs the program and says what was skipped"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A mounted root with root and joe.
struct Guest(tempfile::TempDir);

impl Guest {
    fn new() -> Self {
        let guest = Self(tempfile::tempdir().unwrap());
        guest.write("bin/sh", "#!/bin/true\n", 0o755);
        guest.write(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n",
            0o644,
        );
        guest.write("etc/shadow", "root:*:19000:0:99999:7:::\njoe:!:19000:0:99999:7:::\n", 0o640);
        guest
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        command.arg("set-password").arg("--root").arg(self.root()).args(args);
        command
    }

    fn set(&self, password: &[u8], args: &[&str]) -> Output {
        fed(self.command(args).arg("--stdin"), password)
    }

    fn hash(&self, user: &str) -> String {
        field(&fs::read_to_string(self.root().join("etc/shadow")).unwrap(), user)
    }
}

fn field(shadow: &str, user: &str) -> String {
    let line = shadow.lines().find(|line| line.split(':').next() == Some(user)).unwrap();
    line.split(':').nth(1).unwrap().to_owned()
}

fn fed(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // who refuses before it reads has closed it
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// What this machine's libcrypt makes of a password with the salt of a hash.
fn libcrypt(password: &[u8], hash: &str) -> Option<String> {
    let program = "binmode STDIN; local $/; my $p = <STDIN>; print crypt($p, $ARGV[0])";
    let mut perl = Command::new("perl");
    if perl.arg("-v").output().is_err() {
        return None;
    }
    let output = fed(Command::new("perl").args(["-e", program, hash]), password);
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_password_is_the_one_that_libcrypt_checks() {
    let printable: Vec<u8> = (b' '..=b'~').collect();
    let passwords: Vec<Vec<u8>> = vec![
        printable,
        "pässwörd-\u{2603}-\u{1d11e} ends in a blank ".as_bytes().to_vec(),
        b":::".to_vec(),
        b"x".repeat(72),
        b"y".repeat(200),
        b"z".repeat(511),
    ];
    let libxcrypt =
        ["/lib/x86_64-linux-gnu/libcrypt.so.1", "/usr/lib64/libcrypt.so.2", "/lib64/libcrypt.so.1"];
    let mut methods = vec![("SHA512", "$6$"), ("SHA256", "$5$"), ("MD5", "$6$"), ("DES", "$6$")];
    let guest = Guest::new();
    let Some(_) = libcrypt(b"x", "$6$salt$") else {
        println!("skipped: no perl to ask libcrypt with");
        return;
    };
    if libcrypt(b"x", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$").unwrap().starts_with("$y$") {
        methods.push(("YESCRYPT", "$y$j9T$"));
        let library = libxcrypt.iter().find(|path| Path::new(path).exists()).unwrap();
        fs::create_dir_all(guest.root().join("usr/lib64")).unwrap();
        fs::copy(library, guest.root().join("usr/lib64/libcrypt.so.1")).unwrap();
    }
    for (method, prefix) in methods {
        guest.write("etc/login.defs", &format!("ENCRYPT_METHOD {method}\n"), 0o644);
        for password in &passwords {
            let output = guest.set(&[password, &b"\n"[..]].concat(), &["joe", "--yes"]);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output));
            let hash = guest.hash("joe");
            assert!(hash.starts_with(prefix), "{method}: {hash}");
            assert_eq!(libcrypt(password, &hash).unwrap(), hash, "{}", String::from_utf8_lossy(password));
        }
    }
    assert_eq!(guest.hash("root"), "*");
}

#[test]
fn one_newline_is_taken_off_and_a_second_one_refused() {
    let guest = Guest::new();
    let before = fs::read(guest.root().join("etc/shadow")).unwrap();
    for input in [
        &b""[..],
        b"\n",
        b"one\n\n",
        b"one\ntwo",
        b"one\r\n",
        b"nul\0\n",
        &b"x".repeat(512),
        &b"x".repeat(9000),
    ] {
        let output = guest.set(input, &["--yes"]);
        assert_eq!(output.status.code(), Some(2), "{input:?}: {}", text(&output));
        assert_eq!(fs::read(guest.root().join("etc/shadow")).unwrap(), before);
    }
    assert_eq!(guest.set(b"one\n", &["--yes"]).status.code(), Some(0));
    let hash = guest.hash("root");
    // without a newline it is the same password, so nothing changes
    let output = guest.set(b"one", &["--yes"]);
    assert!(text(&output).starts_with("NOTHING TO DO"), "{}", text(&output));
    assert_eq!(guest.hash("root"), hash);
}

#[test]
fn the_secret_is_nowhere_but_in_the_line_that_holds_its_hash() {
    let guest = Guest::new();
    let secret = "correct-horse-Battery-9";
    let mut said = String::new();
    for format in ["table", "json", "markdown", "nagios"] {
        for args in [&["--dry-run", "-vv"][..], &["--yes", "-vv"], &["--yes", "--unlock", "nobody"]] {
            let args = [args, &["--format", format]].concat();
            said += &text(&guest.set(secret.as_bytes(), &args));
        }
        said += &text(&guest.set(format!("{secret}\n{secret}").as_bytes(), &["--yes"]));
    }
    let hash = guest.hash("root");
    assert!(hash.starts_with("$6$"));
    let novactl = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        text(&command.args(args).arg("--root").arg(guest.root()).env("RUST_LOG", "trace").output().unwrap())
    };
    said += &novactl(&["undo", "--list"]);
    said += &novactl(&["undo", "--yes", "-vv"]);
    for word in [secret, "$6$", &hash[3..]] {
        assert!(!said.contains(word), "{word} was said:\n{said}");
    }
    assert_eq!(guest.hash("root"), "*", "undone");
    let mut looked_at = 0;
    for path in files(guest.root()) {
        let bytes = fs::read(&path).unwrap();
        let name = path.strip_prefix(guest.root()).unwrap();
        assert!(!contains(&bytes, secret.as_bytes()), "{name:?}");
        if contains(&bytes, hash.as_bytes()) {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{name:?}");
            assert!(name.starts_with("var/lib/novactl/undo"), "{name:?}");
            assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
            looked_at += 1;
        }
    }
    assert_eq!(looked_at, 1, "the original that undo took away");
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

#[test]
fn a_drawn_password_is_printed_once_and_fits() {
    let guest = Guest::new();
    let output = guest.command(&["--generate", "--yes"]).output().unwrap();
    let said = String::from_utf8(output.stdout.clone()).unwrap();
    let password = said.lines().last().unwrap().strip_prefix("password: ").unwrap();
    assert_eq!((output.status.code(), password.len()), (Some(0), 20), "{said}");
    assert_eq!(said.matches(password).count() + text(&output).matches(password).count(), 2, "{said}");
    let hash = guest.hash("root");
    assert!(libcrypt(password.as_bytes(), &hash).is_none_or(|made| made == hash));
    let dry = guest.command(&["--generate", "--dry-run"]).output().unwrap();
    assert!(!text(&dry).contains("password: "), "{}", text(&dry));
    let json = guest.command(&["--generate", "--yes", "--format", "json"]).output().unwrap();
    assert_eq!(json.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&json.stdout).contains("novactl.error/1"));
    assert!(text(&json).contains("a password is never part of a document"));
    assert_eq!(guest.hash("root"), hash);
}

#[test]
fn without_a_terminal_a_password_and_an_answer_are_never_guessed() {
    let guest = Guest::new();
    let output = guest.command(&[]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));
    let output = guest.set(b"x\n", &[]);
    assert_eq!(output.status.code(), Some(6), "{}", text(&output));
    assert_eq!(guest.hash("root"), "*");
}

/// Runs a program of Python that types at a terminal; its argument is the command line.
fn typed(program: &str, root: &Path) -> Option<Output> {
    let line = format!("{} set-password --root {}", env!("CARGO_BIN_EXE_novactl"), root.display());
    let output = Command::new("python3").args(["-c", program, &line]).output();
    if output.is_err() {
        println!("skipped: no python3 to type with");
    }
    output.ok()
}

#[test]
fn on_a_terminal_it_asks_twice_and_shows_nothing() {
    let guest = Guest::new();
    // one answer after the other, each when its question is there and the terminal shows nothing any more
    let program = "import os,pty,signal,sys,termios
signal.alarm(120)
pid, fd = pty.fork()
if pid == 0: os.execvp('sh', ['sh', '-c', 'exec ' + sys.argv[1]])
out, at = b'', 0
for question, answer in ((b'New password of root', b's3cret\\n'), (b'once more', b'other\\n'),
        (b'New password of root', b's3cret\\n'), (b'once more', b's3cret\\n'), (b'Make this change', b'y\\n')):
    while question not in out[at:]: out += os.read(fd, 4096)
    at = out.index(question, at) + len(question)
    while termios.tcgetattr(fd)[3] & termios.ECHO: os.sched_yield()
    os.write(fd, answer)
try:
    while more := os.read(fd, 4096): out += more
except OSError: pass
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let Some(output) = typed(program, guest.root()) else { return };
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("s3cret") && !said.contains("other"), "{said}");
    let hash = guest.hash("root");
    assert!(libcrypt(b"s3cret", &hash).is_none_or(|made| made == hash), "{said}");
}

#[test]
fn ctrl_c_at_the_password_leaves_with_the_echo_back_and_nothing_changed() {
    let guest = Guest::new();
    let program = "import os,pty,signal,sys,termios
signal.alarm(120)
pid, fd = pty.fork()
if pid == 0: os.execvp('sh', ['sh', '-c', sys.argv[1] + '; code=$?; stty -a; exit $code'])
out = b''
while b'New password of root' not in out: out += os.read(fd, 4096)
os.write(fd, b's3cr\\x03')
try:
    while more := os.read(fd, 4096): out += more
except OSError: pass
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";
    let Some(output) = typed(program, guest.root()) else { return };
    let said = text(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let shows = |word: &str| said.split_whitespace().any(|said| said == word);
    assert!(shows("echo") && shows("icanon") && shows("isig") && !said.contains("s3cr"), "{said}");
    assert_eq!(guest.hash("root"), "*");
}

#[test]
fn a_process_that_holds_a_password_leaves_no_core() {
    let guest = Guest::new();
    let mut child =
        guest.command(&["--stdin", "--yes"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let limits = format!("/proc/{}/limits", child.id());
    // it waits for the line, so this ends as soon as it has come that far
    let forbidden = |text: &str| {
        let core = text.lines().find(|line| line.starts_with("Max core file size"));
        core.is_some_and(|line| line.split_whitespace().skip(4).take(2).eq(["0", "0"]))
    };
    while !forbidden(&fs::read_to_string(&limits).unwrap_or_default()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it read the password");
        std::thread::yield_now();
    }
    child.stdin.take().unwrap().write_all(b"x\n").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_immutable_file_is_named_with_the_command_that_frees_it() {
    let guest = Guest::new();
    let shadow = guest.root().join("etc/shadow");
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(&shadow).output();
    if !chattr("+i").is_ok_and(|output| output.status.success()) {
        println!("skipped: no file system here keeps the immutable flag");
        return;
    }
    let output = guest.set(b"x\n", &["--dry-run"]);
    assert!(chattr("-i").unwrap().status.success());
    assert_eq!(output.status.code(), Some(3));
    let words = format!("the file is immutable: chattr -i {} allows the change", shadow.display());
    assert!(text(&output).contains(&words), "{}", text(&output));
}

#[test]
fn the_report_is_a_change_and_names_what_is_left() {
    let guest = Guest::new();
    guest.write("etc/shadow", "root:!$6$a$b:19000:0:99999:7::1:\n", 0o640);
    let output = guest.set(b"x\n", &["--yes", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["verb"], &report["result"]), (&"set-password".into(), &"applied".into()));
    let found: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|f| f["title"].as_str().unwrap()).collect();
    assert!(found.starts_with(&["the account is over", "the account is locked"]), "{found:?}");
    assert!(guest.hash("root").starts_with("!$6$"));
    let output = guest.set(b"x\n", &["--yes", "--unlock"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let line = fs::read_to_string(guest.root().join("etc/shadow")).unwrap();
    assert!(line.starts_with("root:$6$") && line.trim_end().ends_with(":0:99999:7:::"), "{line}");
}

/// Whether this may make namespaces and change roots.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: real logins need root");
    }
    is_root
}

/// `su root`, as a user that PAM asks for the password, in a changed root or with a prefix of a command.
fn su(prefix: &[&str], password: &str) -> Output {
    let mut command = Command::new(prefix[0]);
    command.args(&prefix[1..]).args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    fed(command.args(["su", "root", "-c", "echo I am $(id -un)"]), format!("{password}\n").as_bytes())
}

#[test]
fn pam_of_a_real_debian_lets_the_new_password_in_and_no_other() {
    if !is_root() {
        return;
    }
    let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/debian-tree.sh");
    let made = Command::new(lab).output().unwrap();
    if !made.status.success() {
        println!("skipped: no tree of Debian: {}", String::from_utf8_lossy(&made.stderr).trim());
        return;
    }
    let tree = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
    let dir = tempfile::tempdir_in(tree.parent().unwrap()).unwrap();
    let root = dir.path().join("root");
    assert!(Command::new("cp").arg("-al").arg(&tree).arg(&root).status().unwrap().success());
    let root = root.to_str().unwrap();
    let chroot = ["chroot", root];
    let password = "g00d :pässwörd \"'$`\\";
    let novactl = |args: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_novactl"));
        fed(command.args(args).args(["--root", root, "--yes"]), input.as_bytes())
    };
    let set = |args: &[&str]| novactl(&[&["set-password", "--stdin"], args].concat(), password);
    assert!(!su(&chroot, password).status.success());
    let stat = |path: &str| text(&Command::new("stat").args(["-c", "%a %U %G", path]).output().unwrap());
    let shadow = format!("{root}/etc/shadow");
    let before = (fs::read(&shadow).unwrap(), stat(&shadow));
    let output = set(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(field(&fs::read_to_string(&shadow).unwrap(), "root").starts_with("$y$j9T$"));
    assert_eq!(stat(&shadow), before.1);
    let entered = su(&chroot, password);
    assert!(text(&entered).contains("I am root"), "{}", text(&entered));
    assert!(!su(&chroot, "another").status.success());
    // the tools of the system agree with the file
    let checked = Command::new("chroot").args([root, "pwck", "-r", "-q"]).output().unwrap();
    assert!(!text(&checked).contains("shadow"), "{}", text(&checked));
    let locked = Command::new("chroot").args([root, "passwd", "-l", "root"]).output().unwrap();
    assert!(locked.status.success(), "{}", text(&locked));
    assert!(Command::new("chroot").args([root, "chage", "-E", "1", "root"]).status().unwrap().success());
    assert!(!su(&chroot, password).status.success());
    let output = set(&[]);
    assert!(text(&output).contains("the account is locked"), "{}", text(&output));
    assert_eq!(output.status.code(), Some(1));
    assert!(!su(&chroot, password).status.success());
    let output = set(&["--unlock"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let entered = su(&chroot, password);
    assert!(text(&entered).contains("I am root"), "{}", text(&entered));
    for _ in 0..3 {
        if fs::read(&shadow).unwrap() == before.0 {
            break;
        }
        novactl(&["undo", "--force"], "");
    }
    assert_eq!(fs::read(tree.join("etc/shadow")).unwrap(), before.0, "the tree of the lab is as it was");
}

/// A shell in a namespace where /etc and /var/lib are copies, so that the running system can be changed.
fn namespace(dir: &Path, script: &str) -> Command {
    let dir = dir.display();
    let whole = format!(
        "set -e; cp -a /etc {dir}/etc; mkdir -p {dir}/lib; mount --bind {dir}/etc /etc; mount --bind {dir}/lib /var/lib; \
         {script}"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &whole]);
    command.env("NOVACTL", env!("CARGO_BIN_EXE_novactl"));
    command
}

fn has_namespaces() -> bool {
    let works = is_root()
        && Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|o| o.status.success());
    if !works {
        println!("skipped: no mount namespaces");
    }
    works
}

#[test]
fn on_the_running_system_the_password_works_at_once() {
    if !has_namespaces() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "printf 'l1ve-Word\\n' | \"$NOVACTL\" set-password --stdin --yes --unlock >/dev/null || [ $? = 1 ]; \
        for word in l1ve-Word other; do printf \"$word\\n\" | \
        setpriv --reuid=65534 --regid=65534 --clear-groups su root -c 'echo I am root' || echo refused; done";
    let output = namespace(dir.path(), script).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "I am root\nrefused\n", "{}", text(&output));
    assert!(dir.path().join("etc/.pwd.lock").exists());
}

#[test]
fn a_program_that_holds_the_lock_of_the_accounts_is_waited_for() {
    if !has_namespaces() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // holds lckpwdf(3) until the program has opened the lock file, changes the file as passwd would, then lets go
    let holder = "import ctypes,os,subprocess,sys
libc = ctypes.CDLL(None)
assert libc.lckpwdf() == 0
open('/var/lib/word', 'w').write('x')
command = [os.environ['NOVACTL'], 'set-password', '--stdin', '--yes']
child = subprocess.Popen(command, stdin=open('/var/lib/word'), stderr=subprocess.PIPE)
fds = f'/proc/{child.pid}/fd'
def waits():
    for fd in os.listdir(fds):
        try:
            if os.readlink(f'{fds}/{fd}').endswith('.pwd.lock'): return True
        except OSError: pass
while child.poll() is None and not waits(): os.sched_yield()
open('/etc/shadow', 'a').write('new:*:1:0:99999:7:::\\n')
libc.ulckpwdf()
sys.stderr.buffer.write(child.communicate()[1])
sys.exit(child.returncode)
";
    let program = dir.path().join("holder.py");
    fs::write(&program, holder).unwrap();
    let output = namespace(dir.path(), &format!("python3 {}", program.display())).output().unwrap();
    // it planned before the other wrote, and waited: had it not, the other's line would be lost
    let words = "etc/shadow was changed by somebody else since the plan was made";
    assert!(text(&output).contains(words), "{}", text(&output));
    assert_eq!(output.status.code(), Some(4));
}
