//! The host's network from elsewhere than XenStore: a config drive's `network_data.json`, a file, or by hand.
//!
//! All give a [`HostNetwork`], so what follows is the same whatever the source.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::Mac;
use super::host::{Effect, Giver, HostNetwork, HostNic, Problem, Route};
use crate::root::Root;

/// Where a config drive holds the network (nova, `virt/configdrive.py` and `api/metadata/base.py`).
pub const NETWORK_DATA: &str = "openstack/latest/network_data.json";

/// Reads a file: a XenStore dump with `vm-data/networking`, the networking directory alone, or OpenStack's
/// `network_data.json`; they are told apart by their members.
///
/// # Errors
/// It is none of these; what it has instead.
pub fn json(text: &[u8], name: &str) -> Result<HostNetwork> {
    ensure!(!text.trim_ascii().is_empty(), "reading {name}: it is empty");
    let document: Value = serde_json::from_slice(text).with_context(|| format!("reading {name}"))?;
    if document.get("networks").is_some() && document.get("links").is_some() {
        return network_data(&document).with_context(|| format!("reading {name}"));
    }
    let records =
        document.pointer("/vm-data/networking").or_else(|| document.get("networking")).unwrap_or(&document);
    let Some(records) = records.as_object() else {
        bail!(
            "reading {name}: it is no object: a XenStore dump has vm-data/networking, a config drive has links and networks"
        );
    };
    let mut nics = Vec::new();
    for (key, value) in records {
        // a store's leaf is text; a record written by hand may be the object itself
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if key.parse::<Mac>().is_ok() {
            nics.push(HostNic::parse(key, value.as_bytes()));
        }
    }
    if nics.is_empty() {
        bail!("reading {name}: no record of a NIC in it: the keys below vm-data/networking are MACs");
    }
    Ok(HostNetwork { nics })
}

/// Returns the network of a config drive that is mounted at `root`.
///
/// # Errors
/// There is no `network_data.json`, or it cannot be read.
pub fn config_drive(root: &Root) -> Result<HostNetwork> {
    let text = root.read_opt(NETWORK_DATA)?.with_context(|| {
        format!("reading {NETWORK_DATA}: no such file; drives made before 2015-10-15 have none")
    })?;
    json(&text, NETWORK_DATA)
}

/// `network_data.json`, as nova's `virt/netutils.py: get_network_metadata` writes it.
#[derive(Deserialize)]
struct NetworkData {
    links: Vec<DataLink>,
    networks: Vec<DataNetwork>,
    #[serde(default)]
    services: Vec<DataService>,
}

#[derive(Deserialize)]
struct DataLink {
    id: String,
    ethernet_mac_address: Option<String>,
}

#[derive(Deserialize)]
struct DataNetwork {
    #[serde(default)]
    id: String,
    link: String,
    #[serde(rename = "type", default)]
    kind: String,
    ip_address: Option<String>,
    netmask: Option<Value>,
    #[serde(default)]
    routes: Vec<DataRoute>,
    #[serde(default)]
    services: Vec<DataService>,
}

#[derive(Deserialize)]
struct DataRoute {
    network: String,
    netmask: Option<Value>,
    gateway: Option<String>,
}

#[derive(Deserialize)]
struct DataService {
    #[serde(rename = "type", default)]
    kind: String,
    address: Option<String>,
}

fn network_data(document: &Value) -> Result<HostNetwork> {
    let data = NetworkData::deserialize(document)?;
    let dns_of = |services: &[DataService]| -> Vec<IpAddr> {
        let dns = services.iter().filter(|service| service.kind == "dns");
        dns.filter_map(|service| service.address.as_deref()?.parse().ok()).collect()
    };
    let mut nics = Vec::new();
    for link in &data.links {
        // bonds and VLANs have a MAC as well, and are not for us to build
        let Some(mac) = link.ethernet_mac_address.as_deref().and_then(|mac| mac.parse::<Mac>().ok()) else {
            continue;
        };
        let mut nic = by_hand(&link.id, mac);
        for network in data.networks.iter().filter(|network| network.link == link.id) {
            add(&mut nic, network);
            nic.dns.extend(dns_of(&network.services));
        }
        nic.dns.extend(dns_of(&data.services));
        let mut seen = Vec::new();
        nic.dns.retain(|server| {
            !seen.contains(server) && {
                seen.push(*server);
                true
            }
        });
        nics.push(nic);
    }
    if nics.is_empty() {
        bail!("no link with an ethernet_mac_address in it");
    }
    Ok(HostNetwork { nics })
}

fn add(nic: &mut HostNic, network: &DataNetwork) {
    let mut problem = |field: &str, text: String| {
        let field = format!("{}.{field}", network.id);
        nic.problems.push(Problem { key: nic.key.clone(), field, text, effect: Effect::LeftOut });
    };
    if network.kind.ends_with("dhcp") || network.kind.contains("slaac") {
        return problem("type", format!("{} assigns no address", network.kind));
    }
    let Some(address) = &network.ip_address else { return };
    let Some(net) = net(address, network.netmask.as_ref()) else {
        return problem("ip_address", format!("{address:?} with its netmask is no address"));
    };
    match net {
        IpNet::V4(net) => nic.addresses4.push(net),
        IpNet::V6(net) => nic.addresses6.push(net),
    }
    for (number, route) in network.routes.iter().enumerate() {
        let field = format!("routes[{number}]");
        let Some(to) = self::net(&route.network, route.netmask.as_ref()).map(|net| net.trunc()) else {
            nic.problems.push(Problem {
                key: nic.key.clone(),
                field: format!("{}.{field}", network.id),
                text: format!("{:?} with its netmask is no network", route.network),
                effect: Effect::LeftOut,
            });
            continue;
        };
        let via = route.gateway.as_deref().and_then(|via| via.parse::<IpAddr>().ok());
        match (to.prefix_len(), via) {
            (0, Some(IpAddr::V4(via))) => nic.gateway4 = nic.gateway4.or(Some(via)),
            (0, Some(IpAddr::V6(via))) => nic.gateway6 = nic.gateway6.or(Some(via)),
            (0, None) => {}
            (_, via) => nic.routes.push(Route { to, via }),
        }
    }
}

/// Reads an address and a mask: dotted, hexadecimal, a number, or behind a slash.
fn net(address: &str, mask: Option<&Value>) -> Option<IpNet> {
    if address.contains('/') {
        return address.parse().ok();
    }
    let address: IpAddr = address.parse().ok()?;
    let mask = match mask {
        None | Some(Value::Null) => return Some(IpNet::from(address)),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let length = match mask.parse::<IpAddr>() {
        Ok(mask) if mask.is_ipv4() == address.is_ipv4() => ipnet::ip_mask_to_prefix(mask).ok()?,
        Ok(_) => return None,
        Err(_) => mask.parse().ok()?,
    };
    IpNet::new(address, length).ok()
}

/// Returns a NIC without anything, to be filled by hand.
pub fn by_hand(key: &str, mac: Mac) -> HostNic {
    HostNic {
        giver: Giver::Host,
        key: key.to_owned(),
        mac: Some(mac),
        label: None,
        addresses4: Vec::new(),
        addresses6: Vec::new(),
        disabled: Vec::new(),
        gateway4: None,
        gateway6: None,
        routes: Vec::new(),
        dns: Vec::new(),
        problems: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "makes trees")]
    use std::path::Path;

    use super::*;
    use proptest::prelude::*;

    const DATA: &str = r#"{
      "links": [{"id": "tap1", "type": "phy", "mtu": 1500, "ethernet_mac_address": "bc:76:4e:20:75:72", "vif_id": "x"}],
      "networks": [
        {"id": "network0", "link": "tap1", "type": "ipv4", "ip_address": "198.51.100.7", "netmask": "255.255.255.0",
         "network_id": "n", "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "198.51.100.1"},
                                       {"network": "10.0.0.0", "netmask": "255.0.0.0", "gateway": "198.51.100.9"}]},
        {"id": "network1", "link": "tap1", "type": "ipv6", "ip_address": "2001:db8::7", "netmask": "ffff:ffff:ffff:ffff::",
         "routes": [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}]},
        {"id": "network2", "link": "tap1", "type": "ipv4_dhcp"}],
      "services": [{"type": "dns", "address": "192.0.2.53"}, {"type": "dns", "address": "192.0.2.53"}]}"#;

    #[test]
    fn a_config_drive_says_what_the_store_would() {
        let network = json(DATA.as_bytes(), "network_data.json").unwrap();
        let nic = &network.nics[0];
        assert_eq!(nic.mac.unwrap().to_string(), "bc:76:4e:20:75:72");
        assert_eq!(nic.addresses4, ["198.51.100.7/24".parse().unwrap()]);
        assert_eq!(nic.addresses6, ["2001:db8::7/64".parse().unwrap()]);
        assert_eq!((nic.gateway4, nic.gateway6), ("198.51.100.1".parse().ok(), "2001:db8::1".parse().ok()));
        assert_eq!(
            nic.routes,
            [Route { to: "10.0.0.0/8".parse().unwrap(), via: "198.51.100.9".parse().ok() }]
        );
        assert_eq!(nic.dns, ["192.0.2.53".parse::<IpAddr>().unwrap()]);
        assert_eq!(nic.problems.iter().map(|p| p.field.as_str()).collect::<Vec<_>>(), ["network2.type"]);
    }

    #[test]
    fn a_dump_a_directory_and_records_as_objects_are_the_same() {
        let record = r#"{"ips":[{"ip":"10.0.0.5","netmask":"255.255.255.0","enabled":"1"}],"mac":"BC:76:4E:20:75:72"}"#;
        let quoted = serde_json::to_string(record).unwrap();
        for text in [
            format!(r#"{{"vm-data":{{"networking":{{"BC764E207572":{quoted}}}}}}}"#),
            format!(r#"{{"networking":{{"BC764E207572":{quoted}}}}}"#),
            format!(r#"{{"BC764E207572":{record}}}"#),
        ] {
            let network = json(text.as_bytes(), "f").unwrap();
            assert_eq!(network.nics[0].addresses4, ["10.0.0.5/24".parse().unwrap()], "{text}");
        }
    }

    #[test]
    fn another_file_is_an_error_that_says_what_is_expected() {
        for text in ["", "[]", "{}", "{\"a\": 1}", "{\"links\": [], \"networks\": []}", "\"x\""] {
            let error = format!("{:#}", json(text.as_bytes(), "etc/x.json").unwrap_err());
            assert!(error.contains("reading etc/x.json"), "{error}");
        }
    }

    #[test]
    fn a_hostile_config_drive_is_an_error_and_nothing_outside_it_is_read() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(outside.path(), DATA).unwrap();
        let make: [&dyn Fn(&Path); 4] = [
            &|file| symlink(outside.path(), file).unwrap(),
            &|file| {
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            },
            &|file| std::fs::File::create(file).unwrap().set_len(1 << 30).unwrap(),
            &|file| std::fs::create_dir(file).unwrap(),
        ];
        for (number, make) in make.into_iter().enumerate() {
            let drive = tempfile::tempdir().unwrap();
            let file = drive.path().join(NETWORK_DATA);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            make(&file);
            assert!(config_drive(&Root::open(drive.path()).unwrap()).is_err(), "{number}");
        }
    }

    proptest! {
        #[test]
        fn any_file_is_a_network_or_an_error(text in ".{0,200}") {
            let _ = json(text.as_bytes(), "f");
        }
    }
}
