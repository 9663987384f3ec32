//! What each NIC is to become: the host's records joined with the links that exist, freed of what the host is sloppy
//! about. Back ends render this, live code applies it, checks compare with it; none of them reads the records again.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::Mac;
use super::host::{Giver, HostNetwork, HostNic};

/// How the comments end that say what novactl wrote; older releases know the host alone.
pub const WRITTEN: &str = "written by novactl";

/// The network that this system is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Intent {
    /// One per NIC to be configured, in the order of the links.
    pub nics: Vec<NicIntent>,
}

/// What one NIC is to have, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NicIntent {
    /// Who says it: comments only.
    #[serde(skip)]
    pub giver: Giver,
    /// Its name here, such as `eth0`.
    pub name: String,
    /// Its permanent MAC.
    pub mac: Mac,
    /// The network's name, on one line and printable. It comes from a tenant: comments only.
    pub label: Option<String>,
    /// Addresses with their prefixes, IPv4 first; the first of each family is the primary one.
    pub addresses: Vec<IpNet>,
    /// The IPv4 default route; on one NIC at most.
    pub gateway4: Option<Hop>,
    /// The IPv6 default route; on one NIC at most.
    pub gateway6: Option<Hop>,
    /// Further routes, both families.
    pub routes: Vec<RouteIntent>,
    /// Name servers. Empty: the resolver keeps what it has.
    pub dns: Vec<IpAddr>,
}

/// A next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Its address.
    pub via: IpAddr,
    /// It is in no prefix of this NIC, so the route has to say that it is on the link.
    pub onlink: bool,
}

/// A route other than the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RouteIntent {
    /// The destination, host bits cleared.
    #[serde(serialize_with = "as_text")]
    pub to: IpNet,
    /// The next hop; none is the link itself.
    pub hop: Option<Hop>,
}

fn as_text<S: Serializer>(net: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(net)
}

/// A NIC that may be configured: a real one, no port of a bridge or bond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its name.
    pub name: String,
    /// Its permanent MAC.
    pub mac: Mac,
}

impl Intent {
    /// Joins records and NICs by MAC. Records without a NIC and NICs without a record are left alone, and so is a NIC
    /// whose record is lost: without addresses it would be cut off by a slip of the host.
    pub fn of(host: &HostNetwork, nics: &[Nic]) -> Self {
        let is_good = |record: &&HostNic| !record.is_lost() && !has_only_nonsense(record);
        let record =
            |nic: &Nic| host.nics.iter().find(|record| record.mac == Some(nic.mac) && is_good(record));
        let joined: Vec<(&Nic, &HostNic)> =
            nics.iter().filter_map(|nic| record(nic).map(|record| (nic, record))).collect();
        let gateway4 = |record: &HostNic| record.gateway4.map(IpAddr::from).filter(is_of_a_machine);
        let gateway6 = |record: &HostNic| record.gateway6.map(IpAddr::from).filter(is_of_a_machine);
        let owner4 = owner(&joined, |record| gateway4(record).is_some());
        let owner6 = owner(&joined, |record| gateway6(record).is_some());
        let nics = joined.iter().enumerate().map(|(place, (nic, record))| {
            let gateway4 = gateway4(record).filter(|_| owner4 == Some(place));
            let gateway6 = gateway6(record).filter(|_| owner6 == Some(place));
            NicIntent::of(nic, record, gateway4, gateway6)
        });
        Self { nics: nics.collect() }
    }
}

/// Returns which NIC owns the default route of a family: the public one, else the first that has a gateway. The
/// others' are left out: of two equal default routes, answers leave by the wrong one.
fn owner(joined: &[(&Nic, &HostNic)], has_gateway: impl Fn(&HostNic) -> bool) -> Option<usize> {
    let first = |public: bool| {
        joined.iter().position(|(_, record)| has_gateway(record) && (!public || record.is_public()))
    };
    first(true).or_else(|| first(false))
}

impl NicIntent {
    fn of(nic: &Nic, record: &HostNic, gateway4: Option<IpAddr>, gateway6: Option<IpAddr>) -> Self {
        let four = record.addresses4.iter().copied().map(IpNet::from);
        let both = four.chain(record.addresses6.iter().copied().map(IpNet::from));
        let addresses: Vec<IpNet> = both.filter(is_usable).collect();
        let hop = |via: IpAddr| Hop { via, onlink: !addresses.iter().any(|net| net.contains(&via)) };
        // a default route among the routes is the gateway once more
        let routes = record.routes.iter().filter(|route| route.to.prefix_len() > 0);
        Self {
            giver: record.giver,
            name: nic.name.clone(),
            mac: nic.mac,
            label: record.label.as_deref().map(one_line).filter(|label| !label.is_empty()),
            gateway4: gateway4.map(hop),
            gateway6: gateway6.map(hop),
            routes: routes
                .map(|route| RouteIntent { to: route.to, hop: route.via.filter(is_of_a_machine).map(hop) })
                .collect(),
            // a resolver can be on the machine itself
            dns: record.dns.iter().copied().filter(|server| !server.is_unspecified()).collect(),
            addresses,
        }
    }

    /// Returns the comment for what is written about the NIC; it ends in [`WRITTEN`].
    pub fn mark(&self) -> &'static str {
        match self.giver {
            Giver::Host => "as the host assigns it, written by novactl",
            Giver::Hand => "as it was given by hand, written by novactl",
        }
    }

    /// Returns the addresses of one family.
    pub fn addresses_of(&self, family: Family) -> impl Iterator<Item = &IpNet> {
        self.addresses.iter().filter(move |net| Family::of(net.addr()) == family)
    }

    /// Returns the default route and the further routes of one family, the default one first as `0.0.0.0/0` or `::/0`.
    pub fn routes_of(&self, family: Family) -> Vec<RouteIntent> {
        let (gateway, everywhere) = match family {
            Family::V4 => (self.gateway4, IpNet::V4(ipnet::Ipv4Net::default())),
            Family::V6 => (self.gateway6, IpNet::V6(ipnet::Ipv6Net::default())),
        };
        let default = gateway.map(|hop| RouteIntent { to: everywhere, hop: Some(hop) });
        let routes = self.routes.iter().copied().filter(|route| Family::of(route.to.addr()) == family);
        default.into_iter().chain(routes).collect()
    }
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Returns the family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Whether a record has addresses and none that can be used: as good as lost.
fn has_only_nonsense(record: &HostNic) -> bool {
    let four = record.addresses4.iter().copied().map(IpNet::from);
    let mut all = four.chain(record.addresses6.iter().copied().map(IpNet::from)).peekable();
    all.peek().is_some() && !all.any(|net| is_usable(&net))
}

/// Whether a NIC can have this address. With length 0 it would take the whole internet for its own link.
fn is_usable(net: &IpNet) -> bool {
    is_of_a_machine(&net.addr()) && net.prefix_len() > 0
}

/// Whether a machine can have this address on a link. For what reads the files, 0.0.0.0 as a next hop is none.
fn is_of_a_machine(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast)
}

/// Makes a tenant's text fit for one comment line: printable ASCII, 64 characters at most, no quotes, backslashes,
/// backticks or dollars, which a shell that reads the file would act on.
fn one_line(text: &str) -> String {
    let plain = |c: &char| (c.is_ascii_graphic() || *c == ' ') && !"'\"`$\\".contains(*c);
    text.chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(plain)
        .take(64)
        .collect::<String>()
        .trim()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nic(name: &str, mac: &str) -> Nic {
        Nic { name: name.to_owned(), mac: mac.parse().unwrap() }
    }

    fn host(records: &[(&str, &str)]) -> HostNetwork {
        HostNetwork {
            nics: records.iter().map(|(key, value)| HostNic::parse(key, value.as_bytes())).collect(),
        }
    }

    #[test]
    fn a_next_hop_outside_every_prefix_is_on_link() {
        let host = host(&[(
            "BC764E207572",
            r#"{"label":"public","ips":[{"ip":"10.0.0.5","netmask":"255.255.255.255","enabled":"1","gateway":"10.9.9.1"}],
               "gateway":"10.9.9.1","ip6s":[{"ip":"2001:db8::5","netmask":64,"enabled":"1"}],"gateway_v6":"fe80::1",
               "routes":[{"route":"172.16.0.0","netmask":"255.240.0.0","gateway":"10.0.0.5"}]}"#,
        )]);
        let intent = Intent::of(&host, &[nic("eth0", "bc:76:4e:20:75:72")]);
        let nic = &intent.nics[0];
        assert_eq!(nic.gateway4, Some(Hop { via: "10.9.9.1".parse().unwrap(), onlink: true }));
        assert_eq!(nic.gateway6, Some(Hop { via: "fe80::1".parse().unwrap(), onlink: true }));
        assert_eq!(nic.routes[0].hop, Some(Hop { via: "10.0.0.5".parse().unwrap(), onlink: false }));
    }

    #[test]
    fn the_public_nic_owns_the_default_route_whatever_the_order() {
        let record = |label, gateway| {
            format!(
                r#"{{"label":"{label}","ips":[{{"ip":"10.0.0.5","netmask":"255.0.0.0","enabled":"1"}}],"gateway":{gateway}}}"#
            )
        };
        let nics = [nic("eth0", "bc:76:4e:00:00:01"), nic("eth1", "bc:76:4e:00:00:02")];
        let owner = |first: String, second: String| {
            let intent = Intent::of(&host(&[("BC764E000001", &first), ("BC764E000002", &second)]), &nics);
            intent.nics.iter().position(|nic| nic.gateway4.is_some())
        };
        assert_eq!(owner(record("db-net", "\"10.0.0.1\""), record("public", "\"10.0.0.1\"")), Some(1));
        assert_eq!(owner(record("db-net", "\"10.0.0.1\""), record("other", "\"10.0.0.1\"")), Some(0));
        assert_eq!(owner(record("public", "null"), record("other", "\"10.0.0.1\"")), Some(1));
    }

    #[test]
    fn a_nic_whose_record_is_lost_is_left_alone() {
        let rows = [
            ("{\"label\": \"x", 0),
            (r#"{"ips":[{"ip":"10.0.0.5","netmask":"255.0.255.0","enabled":"1"}]}"#, 0),
            (r#"{"ips":[{"ip":"10.0.0.5","netmask":"255.0.0.0","enabled":"0"}]}"#, 1),
            (r#"{"ips":[{"ip":"10.0.0.5","netmask":"255.0.0.0","enabled":"1"},{"ip":"x"}]}"#, 1),
            (r#"{"ips":[{"ip":"0.0.0.0","netmask":"255.0.0.0","enabled":"1"}]}"#, 0),
            (r#"{"ips":[{"ip":"10.0.0.5","netmask":"0.0.0.0","enabled":"1"}]}"#, 0),
        ];
        for (record, nics) in rows {
            let intent = Intent::of(&host(&[("BC764E000001", record)]), &[nic("eth0", "bc:76:4e:00:00:01")]);
            assert_eq!(intent.nics.len(), nics, "{record}");
        }
    }

    #[test]
    fn a_label_cannot_leave_its_comment() {
        assert_eq!(one_line("a\nup rm -rf /\n"), "a up rm -rf /");
        assert_eq!(one_line("$(reboot) `x` 'q' \"d\" \\"), "(reboot) x q d");
        assert_eq!(one_line(&"x".repeat(500)).len(), 64);
    }
}
