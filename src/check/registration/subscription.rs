//! Where a RHEL system gets its packages from, as far as files say it.
//!
//! The host's `kmsactivate` registers with RHN Classic (rhnreg_ks), which Red Hat closed in 2017 and an own Satellite 5
//! alone still speaks. Today's ways are subscription-manager and the cloud provider's RHUI.

use anyhow::Result;

use crate::check::Finding;
use crate::root::Root;
use crate::target::Target;

/// Leftovers of RHN Classic.
const SYSTEM_ID: &str = "etc/sysconfig/rhn/systemid";
const UP2DATE: &str = "etc/sysconfig/rhn/up2date";
/// What a registered system has from subscription-manager.
const IDENTITY: &str = "etc/pki/consumer/cert.pem";

pub(super) fn probe(target: &Target) -> Result<Vec<Finding>> {
    let root = &target.root;
    let is_rhel = target.os().id == "rhel";
    let server = server(root)?;
    let manager = root.find_program("subscription-manager");
    if !is_rhel {
        return Ok(vec![match server {
            Some((source, url)) if root.exists(SYSTEM_ID) => {
                Finding::note("leftovers of RHN Classic: this distribution needs no registration")
                    .seen(source, url)
            }
            _ => Finding::skipped("not RHEL: there is nothing to register"),
        }]);
    }
    if root.exists(IDENTITY) {
        return Ok(vec![Finding::ok("registered with subscription-manager").seen(IDENTITY, "is there")]);
    }
    if let Some(source) = cloud_repository(root)? {
        return Ok(vec![
            Finding::ok("packages come from the cloud provider's RHUI").seen(source, "is there"),
        ]);
    }
    let own = server.as_ref().filter(|(_, url)| !is_red_hats(url));
    if let (Some((source, url)), true) = (own, root.exists(SYSTEM_ID)) {
        return Ok(vec![
            Finding::note("registered with an own Satellite 5, which Red Hat supports no more")
                .seen(source, url),
        ]);
    }
    if let Some(program) = manager {
        return Ok(vec![
            Finding::note("not registered: there are no updates")
                .seen(IDENTITY, "missing")
                .seen(program, "is there")
                .mend("register it")
                .by(&["subscription-manager", "register"]),
        ]);
    }
    let mut finding = Finding::fail("nothing on this system can register it: kmsactivate cannot work")
        .because("RHN Classic is gone; agent 2.x dies on the host's kmsactivate where rhnreg_ks or its directory is missing")
        .seen("usr/sbin/subscription-manager", "missing");
    if let Some((source, url)) = &server {
        finding = finding.seen(source, url);
    }
    if root.find_program("rhnreg_ks").is_none() {
        finding = finding.seen("usr/sbin/rhnreg_ks", "missing");
    }
    Ok(vec![finding.mend("install subscription-manager from the installation medium, then register")])
}

/// The server of RHN Classic that up2date names, and where.
fn server(root: &Root) -> Result<Option<(String, String)>> {
    let text = root.text_opt(UP2DATE)?.unwrap_or_default();
    let line = text
        .lines()
        .enumerate()
        .filter_map(|(place, line)| Some((place, line.trim().strip_prefix("serverURL=")?)));
    Ok(line.last().map(|(place, url)| (format!("{UP2DATE}:{}", place + 1), url.chars().take(200).collect())))
}

/// `https://xmlrpc.rhn.redhat.com/XMLRPC` and its like; more than one stand in a line, set off by `;`.
fn is_red_hats(urls: &str) -> bool {
    urls.split(';').filter(|url| !url.is_empty()).all(|url| {
        let host =
            url.split_once("//").map_or(url, |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
        host == "redhat.com" || host.ends_with(".redhat.com")
    })
}

fn cloud_repository(root: &Root) -> Result<Option<String>> {
    let files = root.files_in("etc/yum.repos.d", ".repo")?;
    Ok(files.into_iter().find(|path| path.contains("rhui")))
}
