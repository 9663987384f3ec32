//! Checks of the topic xen: is there a hypervisor to talk to, does XenStore answer, and does it hold what the agent
//! asks for.
//!
//! What needs the store goes through [`with_store`], which tells a store that may not be opened from one that fails.
//! `kernel_drivers`, `host_data` and `requests` hold what needs more than a few lines.

mod device;
mod host_data;
mod kernel_drivers;
mod requests;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Blocks, Check, Finding, Needs, Topic};
use crate::facts::hypervisor::{Hypervisor, Platform};
use crate::target::Target;
use crate::xenstore::{Error, Xenstore};

/// The checks of this topic, cause before symptom.
pub(super) const CHECKS: &[Check] = &[
    Check {
        id: "xen-guest",
        topic: Topic::Xen,
        about: "the system is a Xen guest",
        needs: Needs { wait: ANSWER_MAX, ..Needs::LIVE },
        blocks: &[Blocks::Xenstore, Blocks::Check("xenbus-device")],
        probe: xen_guest,
        fix: None,
        page: include_str!("pages/xen-guest.md"),
    },
    Check {
        id: "xenbus-device",
        topic: Topic::Xen,
        about: "the kernel offers a way to XenStore",
        needs: Needs::LIVE,
        blocks: &[Blocks::Xenstore],
        probe: xenbus_device,
        fix: Some(device::fix),
        page: include_str!("pages/xenbus-device.md"),
    },
    Check {
        id: "kernel-has-xen-drivers",
        topic: Topic::Xen,
        about: "the kernel that boots next drives Xen's network and disk",
        needs: Needs::FILES,
        blocks: &[],
        probe: kernel_drivers::probe,
        fix: None,
        page: include_str!("pages/kernel-has-xen-drivers.md"),
    },
    Check {
        id: "xenstore-reachable",
        topic: Topic::Xen,
        about: "XenStore answers",
        // The client's own limit comes first: that nothing answers is a finding, not a check that failed.
        needs: Needs { wait: ANSWER_MAX, ..Needs::XENSTORE },
        blocks: &[Blocks::Xenstore],
        probe: xenstore_reachable,
        fix: None,
        page: include_str!("pages/xenstore-reachable.md"),
    },
    Check {
        id: "provider-known",
        topic: Topic::Xen,
        about: "the host says that it is Rackspace's",
        needs: Needs::XENSTORE,
        blocks: &[],
        probe: host_data::provider_known,
        fix: None,
        page: include_str!("pages/provider-known.md"),
    },
    Check {
        id: "host-network-data",
        topic: Topic::Xen,
        about: "the host's network data is there and valid",
        needs: Needs::XENSTORE,
        blocks: &[],
        probe: host_data::host_network_data,
        fix: None,
        page: include_str!("pages/host-network-data.md"),
    },
    Check {
        id: "requests-answered",
        topic: Topic::Xen,
        about: "no request of the host is stuck",
        needs: Needs { wait: requests::WATCH, ..Needs::LIVE_XENSTORE },
        blocks: &[],
        probe: requests::requests_answered,
        fix: Some(requests::fix),
        page: include_str!("pages/requests-answered.md"),
    },
    Check {
        id: "answers-collected",
        topic: Topic::Xen,
        about: "answers do not pile up",
        // oxenstored may ignore the request for the parts of a long listing.
        needs: Needs { wait: ANSWER_MAX, ..Needs::LIVE_XENSTORE },
        blocks: &[],
        probe: requests::answers_collected,
        fix: Some(requests::tidy),
        page: include_str!("pages/answers-collected.md"),
    },
    Check {
        id: "rackconnect",
        topic: Topic::Xen,
        about: "no RackConnect v2 automation manages the network",
        needs: Needs::XENSTORE,
        blocks: &[],
        probe: host_data::rackconnect,
        fix: None,
        page: include_str!("pages/rackconnect.md"),
    },
];

/// A store that needs longer for one read does not serve: every command of the agent needs several.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Where a guest's kernel offers the store.
const DEVICES: [&str; 2] = ["dev/xen/xenbus", "proc/xen/xenbus"];

fn xen_guest(target: &Target) -> Result<Vec<Finding>> {
    let hypervisor = Hypervisor::of(&target.root);
    // In dom0 a store always answers, but it is the host's own: only who named it means it.
    let asks = target.store_is_named() || hypervisor.platform != Platform::XenDom0;
    let store = if hypervisor.is_xen_guest() || !asks { None } else { answering(target) };
    Ok(vec![guest(&hypervisor, store.as_deref())])
}

/// What answers as the store, when something does.
fn answering(target: &Target) -> Option<String> {
    let mut store = target.xenstore().ok()?;
    let answers = matches!(store.read("domid"), Ok(_) | Err(Error::NotFound(_) | Error::Denied(_)));
    answers.then(|| store.describe())
}

fn guest(hypervisor: &Hypervisor, store: Option<&str>) -> Finding {
    let Hypervisor { platform, source, text } = hypervisor;
    if hypervisor.is_xen_guest() {
        return Finding::ok("this is a Xen guest").seen(*source, text);
    }
    if let Some(store) = store {
        return Finding::note(format!("XenStore answers, although this is {platform}"))
            .seen(*source, text)
            .seen(store, "answers");
    }
    Finding::fail(format!("this is {platform}, not a Xen guest"))
        .because("nova-agent hears its host through XenStore, which Xen alone has: it cannot work here")
        .seen(*source, text)
        .mend("disable the agent here; set up this system with what its platform offers, such as cloud-init")
}

fn xenbus_device(target: &Target) -> Result<Vec<Finding>> {
    if let Some(device) = DEVICES.into_iter().find(|path| target.root.exists(path)) {
        return Ok(vec![Finding::ok(format!("/{device} is there"))]);
    }
    // A socket (a container, a test) needs no device.
    if let Ok(store) = target.xenstore() {
        return Ok(vec![Finding::ok(format!("no device is needed: XenStore through {}", store.describe()))]);
    }
    Ok(vec![no_device(target.root.exists("proc/xen"))])
}

fn no_device(has_mount_point: bool) -> Finding {
    let missing = |finding: Finding| {
        DEVICES.iter().fold(finding, |finding, path| finding.seen(*path, "missing")).because(
            "without it nothing in this guest can talk to the host: agent 2.x logs \"Provider: None\" and exits",
        )
    };
    if has_mount_point {
        return missing(Finding::fail("no way to XenStore: xenfs is not mounted on /proc/xen"))
            .mend("mount it; a line \"none /proc/xen xenfs defaults 0 0\" in /etc/fstab keeps it")
            .by(&["mount", "-t", "xenfs", "none", "/proc/xen"]);
    }
    missing(Finding::fail("no way to XenStore: the kernel has no xenbus driver loaded"))
        .mend("load it, or boot the distribution's own kernel; a name in /etc/modules-load.d keeps it")
        .by(&["modprobe", "xenfs"])
        .by(&["mount", "-t", "xenfs", "none", "/proc/xen"])
}

fn xenstore_reachable(target: &Target) -> Result<Vec<Finding>> {
    let mut store = match target.xenstore() {
        Ok(store) => store,
        Err(e) => return Ok(vec![silent("the store", &e)]),
    };
    let through = store.describe();
    let before = Instant::now();
    let name = read_opt(&mut *store, "name");
    let took = before.elapsed();
    Ok(vec![match name {
        Ok(name) => reachable(&through, name.as_deref(), took),
        Err(e) => silent(&through, &e),
    }])
}

fn reachable(through: &str, name: Option<&str>, took: Duration) -> Finding {
    let name = name.map_or_else(|| "no name".to_owned(), |name| format!("name = {name}"));
    if took > ANSWER_MAX {
        return Finding::fail(format!("XenStore needs {:.1} s for one read", took.as_secs_f32()))
            .because("the host gives up before the agent has read its request")
            .seen(through, name)
            .mend(AT_THE_HOST);
    }
    Finding::ok(format!("XenStore answers in {}", in_words(took))).seen(through, name)
}

const AT_THE_HOST: &str = "restart the guest; when that does not help, the host's xenstored is at fault";

fn in_words(took: Duration) -> String {
    match took.as_micros() {
        micros @ 0..1000 => format!("{micros} us"),
        micros => format!("{:.1} ms", micros as f64 / 1000.0),
    }
}

fn silent(through: &str, error: &Error) -> Finding {
    if let Some(finding) = needs_root(error) {
        return finding;
    }
    let title = match error {
        Error::Denied(_) => "XenStore denies reading",
        Error::Gone(_) => "XenStore does not answer",
        Error::NotFound(_) | Error::TooBig(_) | Error::Protocol(_) => "XenStore answers with nonsense",
    };
    Finding::fail(title)
        .because("nothing that the host asks reaches this guest: passwords, addresses and networks stay as they are")
        .seen(through, error.to_string())
        .mend(AT_THE_HOST)
}

/// The device is root's alone: for everybody else it is no fault that it cannot be opened.
fn needs_root(error: &Error) -> Option<Finding> {
    let is_root = rustix::process::geteuid().is_root();
    (matches!(error, Error::Denied(_)) && !is_root).then(|| Finding::skipped(format!("needs root: {error}")))
}

/// Looks at the store.
///
/// # Errors
/// It cannot be opened, or `look` fails; a user who may not open it gets a skipped finding.
pub(super) fn with_store(
    target: &Target,
    look: impl FnOnce(&mut dyn Xenstore) -> Result<Vec<Finding>>,
) -> Result<Vec<Finding>> {
    match target.xenstore() {
        Ok(mut store) => look(&mut *store),
        Err(e) => match needs_root(&e) {
            Some(finding) => Ok(vec![finding]),
            None => Err(e.into()),
        },
    }
}

/// Reads a node as text, `None` where there is none.
pub(super) fn read_opt(store: &mut dyn Xenstore, path: &str) -> Result<Option<String>, Error> {
    match store.read(path) {
        Ok(value) => Ok(Some(String::from_utf8_lossy(&value).into_owned())),
        Err(Error::NotFound(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Lists a directory; a missing one is empty.
fn list_opt(store: &mut dyn Xenstore, path: &str) -> Result<Vec<String>, Error> {
    match store.list(path) {
        Ok(names) => Ok(names),
        Err(Error::NotFound(_)) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::check::Status;
    use crate::xenstore::{self, Source};

    /// Returns a store that holds a dump.
    pub(super) fn store(dump: &str) -> Box<dyn Xenstore> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(dump.as_bytes()).unwrap();
        xenstore::open(&Source::Path(file.path().to_owned())).unwrap()
    }

    fn on(platform: Platform) -> Hypervisor {
        Hypervisor { platform, source: "sys/x", text: "y".to_owned() }
    }

    #[test]
    fn another_platform_fails_unless_a_store_answers() {
        let kvm = || Platform::Guest("KVM".to_owned());
        for (hypervisor, store, status, title) in [
            (on(Platform::XenGuest), None, Status::Ok, "this is a Xen guest"),
            (on(kvm()), None, Status::Fail, "this is a guest of KVM, not a Xen guest"),
            (on(Platform::XenDom0), None, Status::Fail, "this is dom0, the Xen host itself, not a Xen guest"),
            (on(kvm()), Some("/s"), Status::Note, "XenStore answers, although this is a guest of KVM"),
        ] {
            let finding = guest(&hypervisor, store);
            assert_eq!((finding.status, finding.title.as_str()), (status, title));
        }
    }

    #[test]
    fn a_slow_store_is_a_fault_and_a_quick_one_says_its_time() {
        for (took, status, title) in [
            (Duration::from_micros(85), Status::Ok, "XenStore answers in 85 us"),
            (Duration::from_micros(1250), Status::Ok, "XenStore answers in 1.2 ms"),
            (Duration::from_millis(2600), Status::Fail, "XenStore needs 2.6 s for one read"),
        ] {
            let finding = reachable("/dev/xen/xenbus", Some("web01"), took);
            assert_eq!((finding.status, finding.title.as_str()), (status, title));
        }
    }

    #[test]
    fn the_way_to_the_store_is_named_by_what_lacks() {
        assert_eq!(no_device(true).title, "no way to XenStore: xenfs is not mounted on /proc/xen");
        assert_eq!(no_device(false).title, "no way to XenStore: the kernel has no xenbus driver loaded");
    }
}
