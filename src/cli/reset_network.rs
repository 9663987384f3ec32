//! `novactl reset-network`: configure the NICs as the host says, in the format that this system reads.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use ipnet::IpNet;

use super::change::{self, Consent, Request};
use super::questions;
use super::trouble::Trouble;
use super::verification::Broken;
use super::{Global, say};
use crate::check::{self, Status};
use crate::commands::network::{Proposal, Reached, ResetNetwork, verify};
use crate::net::backend::{BACKENDS, Strength};
use crate::net::host::{self, Giver, HostNetwork, HostNic};
use crate::net::intent::Intent;
use crate::net::live::Live;
use crate::net::{Mac, from, links};
use crate::report::{Exit, Report};
use crate::root::Root;
use crate::target::Target;
use crate::{session, xenstore};

const EXAMPLES: &str = "\
Examples:
  novactl reset-network --dry-run      what would change, as a diff
  novactl reset-network                as the host says (XenStore)
  novactl reset-network --from config-drive
  novactl reset-network --root /mnt/rescue --xenstore dump.json
  novactl reset-network --address eth0=203.0.113.7/24 --gateway 203.0.113.1
      --dns 203.0.113.53               by hand, on the console

What is right is not touched, new addresses come before old ones go, and other
interfaces are left alone. When your session comes over a NIC that changes, the
change takes itself back after 120 s unless you keep it: at the prompt, or with
novactl undo --keep from anywhere.";

/// Options of `reset-network`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct ResetNetworkArgs {
    /// Take the network from a config drive or a JSON file instead of XenStore
    #[arg(long, value_name = "config-drive|FILE")]
    from: Option<String>,
    /// Set an address by hand; repeat it for more
    #[arg(long, value_name = "NIC=ADDRESS/LENGTH", conflicts_with = "from")]
    address: Vec<String>,
    /// Default gateway, with --address: of the NIC named first
    #[arg(long, value_name = "ADDRESS", requires = "address", conflicts_with = "from")]
    gateway: Vec<IpAddr>,
    /// Name server, with --address
    #[arg(
        long,
        value_name = "ADDRESS",
        requires = "address",
        conflicts_with = "from",
        value_delimiter = ','
    )]
    dns: Vec<IpAddr>,
    /// Write for this back end [default: the one in charge]
    #[arg(long, value_name = "NAME", value_parser = backends())]
    backend: Option<String>,
    /// Take the change back after SECONDS unless it is kept; 0 never does
    #[arg(long, value_name = "SECONDS")]
    revert_after: Option<u64>,
    /// Also under RackConnect v2 automation, to a gateway that is silent, or for a back end that nothing reads
    #[arg(long)]
    force: bool,
    /// How far it may go.
    #[command(flatten)]
    consent: Consent,
}

fn backends() -> clap::builder::PossibleValuesParser {
    BACKENDS.iter().map(|backend| backend.name()).collect::<Vec<_>>().into()
}

impl ResetNetworkArgs {
    pub(super) fn run(&self, global: &Global) -> anyhow::Result<ExitCode> {
        let target = global.target()?;
        let journal = change::begin(global, &target, &self.consent)?;
        if !self.force {
            refuse_rackconnect(&target)?;
            self.refuse_unread(&target)?;
        }
        let (network, hostname) = self.wanted(&target)?;
        let request = ResetNetwork { network, hostname, backend: self.backend.clone() };
        let Proposal { plan, intent, backend, findings } = request.propose(&target)?;
        let revert_after = self.revert_after(&target, &intent);
        let reached = if self.force || self.consent.dry_run {
            Reached::Unknown
        } else {
            Reached::before(&target, &intent)
        };
        let mut request = Request {
            plan,
            verify: &|target| verify(target, &intent, backend, reached),
            broken: Broken::default(),
            findings,
            interfaces: Some(shown(&intent)?),
            revert_after,
            left: Vec::new(),
        };
        if !target.is_live() {
            request.revert_after = None;
        }
        let mut report = change::carry_out(global, &target, &self.consent, journal.as_ref(), request)?;
        // the process that would revert it needs the journal while somebody reads the question
        drop(journal);
        if report.exit() == Exit::Ok && !self.consent.yes {
            change::ask_to_keep(&target, &mut report)?;
        }
        say(global, &report)
    }

    /// Refuses a back end whose files nothing reads, where another one configures the NICs.
    fn refuse_unread(&self, target: &Target) -> anyhow::Result<()> {
        let asked = BACKENDS.iter().find(|backend| self.backend.as_deref() == Some(backend.name()));
        let Some(asked) = asked else { return Ok(()) };
        // a claim that cannot be judged, such as broken YAML's, says nothing against the asked one
        let Ok([(first, claim), ..]) = target.in_charge() else { return Ok(()) };
        if claim.strength != Strength::Configures || !matches!(asked.claim(target), Ok(None)) {
            return Ok(());
        }
        let (asked, first) = (asked.name(), first.name());
        let text = format!(
            "nothing reads the files of {asked}: {first} is in charge ({}: {})",
            claim.source, claim.text
        );
        let hint = format!("leave --backend out, or name {first}; --force writes for {asked} all the same");
        Err(Trouble::new(text, hint, Exit::CannotJudge).into())
    }

    /// Returns what the NICs are to have, and the host name.
    fn wanted(&self, target: &Target) -> anyhow::Result<(HostNetwork, Option<String>)> {
        if !self.address.is_empty() {
            return Ok((self.by_hand(target, &self.address, &self.gateway, &self.dns)?, None));
        }
        match self.from.as_deref() {
            Some("config-drive") => {
                let network = crate::net::drive::read(target).map_err(|error| no_source(&error))?;
                Ok((network, None))
            }
            Some(file) => {
                let here = Root::live()?;
                let path = std::path::absolute(Path::new(file))?;
                let path = path.to_string_lossy();
                let network = here.read(&path).and_then(|text| from::json(&text, file));
                Ok((network.map_err(|error| no_source(&error))?, None))
            }
            None => of_the_store(target).or_else(|error| self.typed(target, error)),
        }
    }

    /// Asks a person where the host of the running system says nothing.
    fn typed(&self, target: &Target, error: anyhow::Error) -> anyhow::Result<(HostNetwork, Option<String>)> {
        let may_ask = target.is_live() && !target.store_is_named() && !self.consent.yes;
        let Some(answers) = may_ask.then(|| questions::ask(target)).transpose()?.flatten() else {
            return Err(error);
        };
        let network = self.by_hand(target, &[answers.address], &answers.gateway, &answers.dns)?;
        Ok((network, None))
    }

    /// Returns the network that a person gives: addresses as `NIC=ADDRESS/LENGTH`, gateways for the NIC named first.
    fn by_hand(
        &self,
        target: &Target,
        addresses: &[String],
        gateways: &[IpAddr],
        dns: &[IpAddr],
    ) -> anyhow::Result<HostNetwork> {
        let addresses = addresses.iter().map(|text| written(text)).collect::<anyhow::Result<Vec<_>>>()?;
        refuse_slips(&addresses, gateways)?;
        let links = if target.is_live() {
            links::live(&target.root)?
        } else {
            links::recorded(&target.root)?.unwrap_or_default()
        };
        let mut network = HostNetwork::default();
        for (name, net) in addresses {
            let known = network.nics.iter().position(|nic| nic.key == name);
            let place = match known {
                Some(place) => place,
                None => {
                    let mac = match links.as_slice() {
                        [] if !target.is_live() => self.stand_in(target, name, network.nics.len())?,
                        links => mac_of(name, links)?,
                    };
                    network.nics.push(HostNic { giver: Giver::Hand, ..from::by_hand(name, mac) });
                    network.nics.len() - 1
                }
            };
            match net {
                IpNet::V4(net) => network.nics[place].addresses4.push(net),
                IpNet::V6(net) => network.nics[place].addresses6.push(net),
            }
        }
        if let Some(first) = network.nics.first_mut() {
            for gateway in gateways {
                match gateway {
                    IpAddr::V4(via) => first.gateway4 = Some(*via),
                    IpAddr::V6(via) => first.gateway6 = Some(*via),
                }
            }
            first.dns.extend_from_slice(dns);
        }
        Ok(network)
    }

    /// Stands in for the MAC of a NIC of which a disk says nothing, where its files need the name alone.
    fn stand_in(&self, target: &Target, name: &str, number: usize) -> anyhow::Result<Mac> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = (1..16).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with('.');
        if !is_name {
            let text = format!("{name:?} is no name of an interface");
            return Err(Trouble::new(text, "for example --address eth0=203.0.113.7/24", Exit::Usage).into());
        }
        let asked = ResetNetwork { backend: self.backend.clone(), ..ResetNetwork::default() };
        let backend = asked.backend(target)?;
        if !backend.goes_by_name(&target.root, name)? {
            let hint = "name the NICs with their MACs: --from FILE or --xenstore DUMP";
            let text = format!(
                "{} finds its NICs by their MACs, and the files of this system do not say which NICs it has",
                backend.name()
            );
            return Err(Trouble::new(text, hint, Exit::CannotJudge).into());
        }
        Ok(Mac::stand_in(u8::try_from(number).unwrap_or(u8::MAX)))
    }

    /// Returns after how many seconds the change takes itself back: as asked, else when this session would be lost.
    fn revert_after(&self, target: &Target, intent: &Intent) -> Option<u64> {
        match self.revert_after {
            Some(0) => None,
            Some(seconds) => Some(seconds),
            None => {
                let session = session::ssh_address(&target.root)?;
                let live = Live::look().ok()?;
                let carries = |nic: &&str| live.addresses_of(nic).iter().any(|net| net.addr() == session);
                let mut changed = intent.nics.iter().map(|nic| nic.name.as_str());
                // over another NIC nothing of the session changes; an address that no NIC has is translated somewhere
                let other = links::live(&target.root).ok()?;
                let mut others = other
                    .iter()
                    .map(|link| link.name.as_str())
                    .filter(|name| !intent.nics.iter().any(|nic| nic.name == *name));
                if changed.any(|nic| carries(&nic)) || !others.any(|nic| carries(&nic)) {
                    Some(change::REVERT_AFTER)
                } else {
                    None
                }
            }
        }
    }
}

/// Returns the MAC of a NIC by its name.
fn mac_of(name: &str, links: &[links::Link]) -> anyhow::Result<Mac> {
    let mac = links.iter().find(|link| link.name == name).and_then(links::Link::host_mac);
    mac.ok_or_else(|| {
        let names: Vec<_> = links.iter().filter(|l| l.kind.is_nic()).map(|l| l.name.as_str()).collect();
        let hint = format!("the NICs are {}; novactl scan-ifaces shows all", names.join(", "));
        Trouble::new(format!("no interface is called {name:?}"), hint, Exit::Usage).into()
    })
}

/// Parses an address as it is written on the command line: the mistake is said before anything is looked at.
fn written(text: &str) -> anyhow::Result<(&str, IpNet)> {
    let parsed = text.split_once('=').and_then(|(nic, net)| Some((nic, net.parse::<IpNet>().ok()?)));
    parsed.ok_or_else(|| {
        let text = format!("{text:?} is not NIC=ADDRESS/LENGTH");
        Trouble::new(text, "for example --address eth0=203.0.113.7/24", Exit::Usage).into()
    })
}

/// Refuses what nobody means: a change that cannot work would still be made and verified.
fn refuse_slips(addresses: &[(&str, IpNet)], gateways: &[IpAddr]) -> anyhow::Result<()> {
    let refused = |text: String, hint: &str| Err(Trouble::new(text, hint, Exit::Usage).into());
    for (_, net) in addresses {
        let addr = net.addr();
        if net.prefix_len() < 31 && matches!(net, IpNet::V4(_)) && addr == net.network() {
            return refused(
                format!("{net} is the network itself, not an address in it"),
                "give the server's own address",
            );
        }
        if addr.is_loopback() || addr.is_multicast() || addr.is_unspecified() {
            return refused(format!("{addr} is no address of a NIC"), "give the server's own address");
        }
    }
    for (number, gateway) in gateways.iter().enumerate() {
        if addresses.iter().any(|(_, net)| net.addr() == *gateway) {
            return refused(
                format!("{gateway} is given as address and as gateway"),
                "the gateway is the router's address",
            );
        }
        let is_alike = |other: &IpAddr| other.is_ipv4() == gateway.is_ipv4();
        if !addresses.iter().any(|(_, net)| is_alike(&net.addr())) {
            return refused(
                format!("no address goes with the gateway {gateway}"),
                "add one of its family with --address",
            );
        }
        if gateways[..number].iter().any(is_alike) {
            return refused(
                format!("{gateway} is a second gateway"),
                "one of IPv4 and one of IPv6 can be given",
            );
        }
    }
    Ok(())
}

fn of_the_store(target: &Target) -> anyhow::Result<(HostNetwork, Option<String>)> {
    let mut store = target.xenstore().map_err(|e| no_data(&e))?;
    let network = host::host_nics(&mut *store)?;
    if network.nics.is_empty() {
        return Err(no_data(&xenstore::Error::NotFound(format!("{} is empty", host::PATH))));
    }
    let hostname = match store.read("vm-data/hostname") {
        Ok(name) => Some(String::from_utf8_lossy(&name).into_owned()),
        // the host shows it at the first boot only
        Err(_) => None,
    };
    Ok((network, hostname))
}

/// A file that holds no network.
fn no_source(error: &anyhow::Error) -> anyhow::Error {
    let hint = "--from takes the word config-drive, or a JSON file: network_data.json of a config drive, or the records \
                of vm-data/networking";
    Trouble::new(format!("{error:#}"), hint, Exit::CannotJudge).into()
}

fn no_data(error: &xenstore::Error) -> anyhow::Error {
    let hint = "name another source: --from config-drive, --from FILE, --xenstore DUMP, \
                or by hand --address NIC=ADDRESS/LENGTH --gateway ADDRESS --dns ADDRESS";
    Trouble::new(format!("what the host assigns is not known: {error}"), hint, Exit::CannotJudge).into()
}

/// RackConnect v2 has its own addresses and firewall rules on the server: a reset breaks them.
fn refuse_rackconnect(target: &Target) -> anyhow::Result<()> {
    let check = check::all().find(|check| check.id == "rackconnect" && target.has_store());
    // a store that cannot be asked says nothing either way; that it is needed shows when the network is read
    let found = check.map_or(Ok(Vec::new()), |check| (check.probe)(target)).unwrap_or_default();
    let Some(finding) = found.into_iter().find(|finding| finding.status == Status::Note) else {
        return Ok(());
    };
    let seen: Vec<String> = finding.evidence.iter().map(|e| format!("{}: {}", e.source, e.text)).collect();
    let text = format!("{} ({})", finding.title, seen.join("; "));
    let hint = "resetting its network breaks its connectivity; --force does it all the same";
    Err(Trouble::new(text, hint, Exit::CannotJudge).into())
}

fn shown(intent: &Intent) -> anyhow::Result<serde_json::Value> {
    let mut interfaces = serde_json::Map::new();
    for nic in &intent.nics {
        let mut value = serde_json::to_value(nic)?;
        if let Some(fields) = value.as_object_mut().filter(|_| nic.mac.is_stand_in()) {
            fields.insert("mac".to_owned(), serde_json::Value::Null);
        }
        interfaces.insert(nic.name.clone(), value);
    }
    Ok(interfaces.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_means_is_refused_and_what_hosts_assign_is_taken() {
        for (address, gateways, want) in [
            ("203.0.113.7/24", &["203.0.113.1"][..], None),
            // a gateway off the link, and a single address
            ("203.0.113.7/32", &["198.51.100.1"], None),
            ("203.0.113.0/31", &["203.0.113.1"], None),
            ("2001:db8::/64", &["fe80::1"], None),
            ("203.0.113.0/24", &[], Some("203.0.113.0/24 is the network itself, not an address in it")),
            ("127.0.0.1/8", &[], Some("127.0.0.1 is no address of a NIC")),
            ("203.0.113.7/24", &["203.0.113.7"], Some("203.0.113.7 is given as address and as gateway")),
            ("203.0.113.7/24", &["fe80::1"], Some("no address goes with the gateway fe80::1")),
            ("203.0.113.7/24", &["203.0.113.1", "203.0.113.2"], Some("203.0.113.2 is a second gateway")),
        ] {
            let gateways: Vec<IpAddr> = gateways.iter().map(|gateway| gateway.parse().unwrap()).collect();
            let found = refuse_slips(&[("eth0", address.parse().unwrap())], &gateways);
            assert_eq!(found.err().map(|error| error.to_string()).as_deref(), want, "{address} {gateways:?}");
        }
    }
}
