//! `vm-data/networking`: the network that the host assigns, one JSON record per NIC.
//!
//! The host is sloppy in known ways, and those are read for what they mean: keys in either case, `null`, `""` and
//! `"None"` for nothing, missing members, numbers as text, IPv6 routes with a hexadecimal mask among the IPv4 ones,
//! the member names of old releases, and backslashes that dom0's tool dropped on the way. Everything else is strict:
//! what cannot be read is left out, and a [`Problem`] names the key and the field. A bad record, or a bad field,
//! never costs a good one.
//!
//! Source of the form: nova's XenAPI driver, `vmops.py: _get_vif_data / inject_network_info`, back to 2011.
//! To add a member: its line in [`Reader::nic`] and a row in the tests.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Map, Value};

use super::Mac;
use crate::xenstore::{Error, Xenstore};

/// Where the records are.
pub const PATH: &str = "vm-data/networking";

/// The longest record that is read, in bytes: a store's message holds 4096, a dump can hold anything.
const RECORD_MAX: usize = 64 << 10;

/// The most records that are read; Xen gives a guest seven NICs.
const RECORDS_MAX: usize = 256;

/// The network that the host assigns; empty where it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// One per record, in the order of their keys.
    pub nics: Vec<HostNic>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostNic {
    /// The record's name: the MAC without separators, in the case that the host chose.
    pub key: String,
    /// Its MAC: the `mac` member, else the key.
    pub mac: Option<Mac>,
    /// The name of the network, such as `public`. It comes from a tenant: never write it anywhere unquoted.
    pub label: Option<String>,
    /// IPv4 addresses in the host's order: the first is the primary one.
    pub addresses4: Vec<Ipv4Net>,
    /// IPv6 addresses, likewise.
    pub addresses6: Vec<Ipv6Net>,
    /// Addresses that the host knows and has switched off.
    pub disabled: Vec<IpNet>,
    /// Where the IPv4 default route leads, when this NIC has one.
    pub gateway4: Option<Ipv4Addr>,
    /// Where the IPv6 default route leads, when this NIC has one.
    pub gateway6: Option<Ipv6Addr>,
    /// Further routes, both families.
    pub routes: Vec<Route>,
    /// Name servers in the host's order, each once.
    pub dns: Vec<IpAddr>,
    /// What could not be read as it stands.
    pub problems: Vec<Problem>,
}

/// A route of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination, host bits cleared.
    pub to: IpNet,
    /// The next hop; `None` is on the link itself.
    pub via: Option<IpAddr>,
}

/// A field that could not be read as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The record's name.
    pub key: String,
    /// The field, such as `ips[1].netmask`; empty when it is the record.
    pub field: String,
    /// What is wrong with it.
    pub text: String,
    /// What became of it.
    pub effect: Effect,
}

/// What a problem costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: what was meant is certain.
    Repaired,
    /// The field, or the record when there is no field.
    LeftOut,
}

impl HostNic {
    /// Whether the host calls this network public.
    pub fn is_public(&self) -> bool {
        self.label.as_deref().is_some_and(|label| label.eq_ignore_ascii_case("public"))
    }

    /// Whether nothing is known of what the host assigns: no address could be read, and something was left out.
    pub fn is_lost(&self) -> bool {
        let has_lost = self.problems.iter().any(|problem| problem.effect == Effect::LeftOut);
        self.addresses4.is_empty() && self.addresses6.is_empty() && has_lost
    }
}

/// Returns what the host assigns.
///
/// # Errors
/// The store cannot be asked. A record that is missing, or cannot be read, is none.
pub fn host_nics(store: &mut dyn Xenstore) -> Result<HostNetwork> {
    let mut keys = match store.list(PATH) {
        Ok(keys) => keys,
        Err(Error::NotFound(_)) => return Ok(HostNetwork::default()),
        Err(e) => return Err(e).with_context(|| format!("listing {PATH}")),
    };
    keys.sort_unstable();
    keys.truncate(RECORDS_MAX);
    let mut nics = Vec::with_capacity(keys.len());
    for key in keys {
        match store.read(&format!("{PATH}/{key}")) {
            Ok(value) => nics.push(HostNic::parse(&key, &value)),
            // taken away since it was listed
            Err(Error::NotFound(_)) => {}
            Err(e) => return Err(e).with_context(|| format!("reading {PATH}/{key}")),
        }
    }
    Ok(HostNetwork { nics })
}

impl HostNic {
    /// Reads one record. It cannot fail: what cannot be read is in `problems`.
    pub fn parse(key: &str, value: &[u8]) -> Self {
        let mut reader = Reader { key, problems: Vec::new() };
        let members = reader.members(value).unwrap_or_default();
        let mut nic = reader.nic(&members);
        nic.problems = reader.problems;
        nic
    }
}

/// Reads the members of one record and keeps what is wrong with them.
struct Reader<'k> {
    key: &'k str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn members(&mut self, value: &[u8]) -> Option<Map<String, Value>> {
        if value.len() > RECORD_MAX {
            self.drop("", format!("{} bytes, more than {RECORD_MAX} are not read", value.len()));
            return None;
        }
        let text = String::from_utf8_lossy(value);
        let parsed = serde_json::from_str(&text).or_else(|error| {
            let repaired = serde_json::from_str(&with_quotes_escaped(&text)).map_err(|_| error)?;
            self.repair("", "not JSON: a backslash was lost before a quotation mark");
            Ok::<Value, serde_json::Error>(repaired)
        });
        match parsed {
            Ok(Value::Object(members)) => return Some(members),
            Ok(_) => self.drop("", "not a JSON object".to_owned()),
            Err(error) => self.drop("", format!("not JSON: {error}")),
        }
        None
    }

    fn nic(&mut self, members: &Map<String, Value>) -> HostNic {
        let mut nic = HostNic {
            key: self.key.to_owned(),
            mac: self.mac(members),
            label: self.text(members, "label").map(str::to_owned),
            addresses4: Vec::new(),
            addresses6: Vec::new(),
            disabled: Vec::new(),
            gateway4: self.address(members, "", "gateway"),
            gateway6: None,
            routes: Vec::new(),
            dns: Vec::new(),
            problems: Vec::new(),
        };
        for (field, ip) in self.objects(members, "ips") {
            self.add_address(&mut nic, &field, ip);
        }
        let ip6s = self.objects(members, "ip6s");
        for (field, ip) in &ip6s {
            self.add_address(&mut nic, field, ip);
        }
        nic.gateway6 = self.gateway6(members, &ip6s);
        for (field, route) in self.objects(members, "routes") {
            nic.routes.extend(self.route(&field, route));
        }
        for (field, server) in self.list(members, "dns") {
            match server.as_str().map(str::trim).map(|text| (text, text.parse::<IpAddr>())) {
                Some((_, Ok(address))) if !nic.dns.contains(&address) => nic.dns.push(address),
                Some((_, Ok(_))) => {}
                Some((text, Err(_))) if is_nothing(text) => {}
                _ if server.is_null() => {}
                _ => self.drop(&field, format!("{server} is no address")),
            }
        }
        nic
    }

    fn mac(&mut self, members: &Map<String, Value>) -> Option<Mac> {
        let of_key = self.key.parse::<Mac>().ok();
        let Some(text) = self.text(members, "mac") else {
            if of_key.is_none() {
                self.drop("mac", "missing, and the key is no Ethernet address".to_owned());
            }
            return of_key;
        };
        match (text.parse::<Mac>(), of_key) {
            (Ok(mac), Some(of_key)) if mac != of_key => {
                self.repair("mac", &format!("{mac} is not the key's"));
                Some(mac)
            }
            (Ok(mac), _) => Some(mac),
            (Err(e), _) => {
                self.drop("mac", format!("{text:?} is {e}"));
                of_key
            }
        }
    }

    /// The IPv6 gateway by its name of today, the name that Cactus gave it, else the one of the first address that
    /// has one: the records of 2011 had no other.
    fn gateway6(
        &mut self,
        members: &Map<String, Value>,
        ip6s: &[(String, &Map<String, Value>)],
    ) -> Option<Ipv6Addr> {
        if let Some(name) = ["gateway_v6", "gateway6"].into_iter().find(|name| members.contains_key(*name)) {
            return self.address(members, "", name);
        }
        ip6s.iter().find_map(|(field, ip)| self.address(ip, &format!("{field}."), "gateway"))
    }

    fn add_address(&mut self, nic: &mut HostNic, field: &str, ip: &Map<String, Value>) {
        let prefix = format!("{field}.");
        // 1.x knows `address` as well
        let name = if ip.contains_key("ip") { "ip" } else { "address" };
        let Some(address) = self.address::<IpAddr>(ip, &prefix, name) else {
            if ip.get(name).is_none_or(Value::is_null) {
                self.drop(&format!("{prefix}ip"), "missing".to_owned());
            }
            return;
        };
        let Some(length) = self.prefix(ip, &prefix, address) else { return };
        let Ok(net) = IpNet::new(address, length) else { return };
        match (self.is_enabled(ip, &prefix), net) {
            (false, net) => nic.disabled.push(net),
            (true, IpNet::V4(net)) if !nic.addresses4.contains(&net) => nic.addresses4.push(net),
            (true, IpNet::V6(net)) if !nic.addresses6.contains(&net) => nic.addresses6.push(net),
            _ => {}
        }
    }

    fn route(&mut self, field: &str, route: &Map<String, Value>) -> Option<Route> {
        let prefix = format!("{field}.");
        let to = self.address::<IpAddr>(route, &prefix, "route")?;
        let length = self.prefix(route, &prefix, to)?;
        let net = IpNet::new(to, length).ok()?.trunc();
        let via = self.address::<IpAddr>(route, &prefix, "gateway");
        if via.is_some_and(|via| via.is_ipv4() != net.addr().is_ipv4()) {
            self.drop(&format!("{prefix}gateway"), "of another family than its route".to_owned());
            return None;
        }
        // a next hop that could not be read must not turn the route into one without a next hop
        if via.is_none()
            && !route.get("gateway").is_none_or(|v| v.is_null() || v.as_str().is_some_and(is_nothing))
        {
            return None;
        }
        Some(Route { to: net, via })
    }

    /// The length of a `netmask`: a dotted or hexadecimal mask, a number, or a number as text.
    fn prefix(&mut self, object: &Map<String, Value>, prefix: &str, address: IpAddr) -> Option<u8> {
        let field = format!("{prefix}netmask");
        let text = match object.get("netmask") {
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            None | Some(Value::Null) => {
                self.drop(&field, "missing".to_owned());
                return None;
            }
            Some(other) => {
                self.drop(&field, format!("{other} is no mask"));
                return None;
            }
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match (text.parse::<IpAddr>(), text.parse::<u8>()) {
            (Ok(mask), _) if mask.is_ipv4() == address.is_ipv4() => ipnet::ip_mask_to_prefix(mask).ok(),
            (_, Ok(length)) if length <= most => Some(length),
            _ => None,
        };
        if length.is_none() {
            self.drop(&field, format!("{text:?} is no mask"));
        }
        length
    }

    /// The host writes the text `1`; without the member an address is meant to be used.
    fn is_enabled(&mut self, object: &Map<String, Value>, prefix: &str) -> bool {
        match object.get("enabled") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(enabled)) => *enabled,
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => {
                    self.repair(&format!("{prefix}enabled"), &format!("{text:?} is neither 1 nor 0"));
                    true
                }
            },
            Some(other) => {
                self.repair(&format!("{prefix}enabled"), &format!("{other} is neither 1 nor 0"));
                true
            }
        }
    }

    fn address<A: std::str::FromStr>(
        &mut self,
        object: &Map<String, Value>,
        prefix: &str,
        name: &str,
    ) -> Option<A> {
        let field = format!("{prefix}{name}");
        let text = match object.get(name) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) if is_nothing(text) => return None,
            Some(Value::String(text)) => text.trim(),
            Some(other) => {
                self.drop(&field, format!("{other} is no address"));
                return None;
            }
        };
        let address = text.parse().ok();
        if address.is_none() {
            self.drop(&field, format!("{text:?} is no address"));
        }
        address
    }

    fn text<'v>(&mut self, object: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
        match object.get(name)? {
            Value::Null => None,
            Value::String(text) if is_nothing(text) => None,
            Value::String(text) => Some(text),
            other => {
                self.drop(name, format!("{other} is no text"));
                None
            }
        }
    }

    fn list<'v>(&mut self, object: &'v Map<String, Value>, name: &str) -> Vec<(String, &'v Value)> {
        match object.get(name) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) if is_nothing(text) => Vec::new(),
            Some(Value::Array(values)) => {
                values.iter().enumerate().map(|(place, value)| (format!("{name}[{place}]"), value)).collect()
            }
            Some(_) => {
                self.drop(name, "not a list".to_owned());
                Vec::new()
            }
        }
    }

    fn objects<'v>(
        &mut self,
        object: &'v Map<String, Value>,
        name: &str,
    ) -> Vec<(String, &'v Map<String, Value>)> {
        let mut objects = Vec::new();
        for (field, value) in self.list(object, name) {
            match value {
                Value::Object(object) => objects.push((field, object)),
                _ => self.drop(&field, "not an object".to_owned()),
            }
        }
        objects
    }

    fn drop(&mut self, field: &str, text: String) {
        self.add(field, text, Effect::LeftOut);
    }

    fn repair(&mut self, field: &str, text: &str) {
        self.add(field, text.to_owned(), Effect::Repaired);
    }

    fn add(&mut self, field: &str, text: String, effect: Effect) {
        self.problems.push(Problem { key: self.key.to_owned(), field: field.to_owned(), text, effect });
    }
}

/// Whether a text stands for nothing: Python's `None` reaches the store as text.
fn is_nothing(text: &str) -> bool {
    matches!(text.trim(), "" | "None" | "null")
}

/// Puts back the backslash before a quotation mark inside a text. dom0's `xenstore-write` drops it, so the label
/// `a "b"` breaks the record. A mark ends a text when what follows it goes on with the structure.
fn with_quotes_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut in_text = false;
    let mut escaped = false;
    for (place, c) in text.char_indices() {
        if c != '"' || escaped {
            escaped = c == '\\' && !escaped;
            out.push(c);
            continue;
        }
        let next = text[place + 1..].chars().find(|c| !c.is_whitespace());
        let ends = matches!(next, None | Some(',' | ':' | '}' | ']'));
        if in_text && !ends {
            out.push('\\');
        } else {
            in_text = !in_text;
        }
        out.push('"');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xenstore::tree::Tree;
    use proptest::prelude::*;

    fn nic(text: &str) -> HostNic {
        HostNic::parse("BC764E207572", text.as_bytes())
    }

    fn problems(nic: &HostNic) -> Vec<(&str, &str, Effect)> {
        nic.problems.iter().map(|p| (p.field.as_str(), p.text.as_str(), p.effect)).collect()
    }

    #[test]
    fn a_record_of_today_is_read_whole() {
        let read = nic(r#"{"label": "public", "broadcast": "104.130.4.255", "mac": "BC:76:4E:20:75:72",
            "ips": [{"ip": "104.130.4.72", "netmask": "255.255.255.0", "enabled": "1", "gateway": "104.130.4.1"}],
            "gateway": "104.130.4.1", "dns": ["69.20.0.164", "69.20.0.196", "", "69.20.0.164"],
            "ip6s": [{"ip": "2001:db8:0:0::1", "netmask": 64, "enabled": "1", "gateway": "fe80::def"}],
            "gateway_v6": "fe80::def",
            "routes": [{"route": "10.208.0.1", "netmask": "255.240.0.0", "gateway": "10.208.224.1"},
                       {"route": "2001:db8:40::", "netmask": "ffff:ffff:ffff::", "gateway": null}]}"#);
        let want = HostNic {
            key: "BC764E207572".to_owned(),
            mac: "bc:76:4e:20:75:72".parse().ok(),
            label: Some("public".to_owned()),
            addresses4: vec!["104.130.4.72/24".parse().unwrap()],
            addresses6: vec!["2001:db8::1/64".parse().unwrap()],
            disabled: vec![],
            gateway4: Some("104.130.4.1".parse().unwrap()),
            gateway6: Some("fe80::def".parse().unwrap()),
            routes: vec![
                Route { to: "10.208.0.0/12".parse().unwrap(), via: "10.208.224.1".parse().ok() },
                Route { to: "2001:db8:40::/48".parse().unwrap(), via: None },
            ],
            dns: vec!["69.20.0.164".parse().unwrap(), "69.20.0.196".parse().unwrap()],
            problems: vec![],
        };
        assert_eq!(read, want);
    }

    #[test]
    fn nothing_is_written_in_many_ways() {
        for nothing in ["null", "\"None\"", "\"\""] {
            let text = [
                r#"{"mac": "bc:76:4e:20:75:72", "label": X, "gateway": X, "gateway_v6": X, "ips": X,"#,
                r#""ip6s": X, "routes": X, "dns": X}"#,
            ]
            .concat()
            .replace('X', nothing);
            let read = nic(&text);
            let bare = nic(r#"{"mac": "bc:76:4e:20:75:72"}"#);
            assert_eq!(read, bare, "{nothing}");
            assert_eq!(problems(&bare), []);
        }
    }

    #[test]
    fn old_member_names_are_known() {
        let read = nic(r#"{"ip6s": [{"address": "2001:db8::1", "netmask": "64"}], "gateway6": "fe80::1"}"#);
        assert_eq!(read.addresses6, ["2001:db8::1/64".parse().unwrap()]);
        assert_eq!(read.gateway6, "fe80::1".parse().ok());
        let read = nic(r#"{"ip6s": [{"ip": "2001:db8::1", "netmask": "64", "gateway": "fe80::2"}]}"#);
        assert_eq!(read.gateway6, "fe80::2".parse().ok());
        assert_eq!(problems(&read), []);
    }

    #[test]
    fn a_null_gateway_is_none_also_when_an_address_names_one() {
        let read = nic(
            r#"{"gateway_v6": null, "ip6s": [{"ip": "2001:db8::1", "netmask": 64, "gateway": "fe80::2"}]}"#,
        );
        assert_eq!(read.gateway6, None);
    }

    #[test]
    fn an_address_that_is_switched_off_is_kept_apart() {
        for off in ["\"0\"", "0", "false"] {
            let text = r#"{"ips": [{"ip": "192.0.2.1", "netmask": "255.255.255.0", "enabled": X},
                {"ip": "192.0.2.2", "netmask": "255.255.255.0"}]}"#;
            let read = nic(&text.replace('X', off));
            assert_eq!(read.addresses4, ["192.0.2.2/24".parse().unwrap()]);
            assert_eq!(read.disabled, ["192.0.2.1/24".parse::<IpNet>().unwrap()]);
        }
    }

    #[test]
    fn a_bad_field_is_named_and_the_rest_is_read() {
        let good = r#"{"ip": "192.0.2.9", "netmask": "255.255.255.0"}"#;
        let cases = [
            (
                r#"{"ip": "192.0.2.1", "netmask": "255.0.255.0"}"#,
                "ips[0].netmask",
                r#""255.0.255.0" is no mask"#,
            ),
            (r#"{"ip": "192.0.2.1", "netmask": 33}"#, "ips[0].netmask", r#""33" is no mask"#),
            (r#"{"ip": "192.0.2.1"}"#, "ips[0].netmask", "missing"),
            (r#"{"ip": "192.0.2.300", "netmask": 24}"#, "ips[0].ip", r#""192.0.2.300" is no address"#),
            (r#"{"netmask": 24}"#, "ips[0].ip", "missing"),
            ("7", "ips[0]", "not an object"),
        ];
        for (bad, field, text) in cases {
            let read = nic(&format!(r#"{{"ips": [{bad}, {good}]}}"#));
            assert_eq!(read.addresses4, ["192.0.2.9/24".parse().unwrap()], "{bad}");
            assert_eq!(problems(&read), [(field, text, Effect::LeftOut)], "{bad}");
        }
    }

    #[test]
    fn a_route_whose_next_hop_cannot_be_read_is_no_route_without_one() {
        for hop in [r#""10.0.0.256""#, r#""fe80::1""#, "5"] {
            let read = nic(&format!(
                r#"{{"routes": [{{"route": "10.0.0.0", "netmask": "255.0.0.0", "gateway": {hop}}}]}}"#
            ));
            assert_eq!(read.routes, [], "{hop}");
            assert_eq!(read.problems.len(), 1, "{hop}");
            assert_eq!(read.problems[0].field, "routes[0].gateway");
        }
    }

    #[test]
    fn a_label_that_lost_its_backslashes_is_read() {
        let read = nic(r#"{"label": "the "big" one", "mac": "BC:76:4E:20:75:72", "ips": []}"#);
        assert_eq!(read.label.as_deref(), Some("the \"big\" one"));
        assert_eq!(
            problems(&read),
            [("", "not JSON: a backslash was lost before a quotation mark", Effect::Repaired)]
        );
    }

    #[test]
    fn a_truncated_record_keeps_the_mac_of_its_key() {
        let read = nic(r#"{"label": "private", "ips": [{"ip": "10.208.227.239", "netmask": ""#);
        assert_eq!(read.mac, "bc:76:4e:20:75:72".parse().ok());
        assert_eq!(read.problems.len(), 1);
        assert_eq!((read.problems[0].field.as_str(), read.problems[0].effect), ("", Effect::LeftOut));
    }

    #[test]
    fn the_mac_member_wins_over_the_key() {
        let read = nic(r#"{"mac": "BC:76:4E:20:6C:5B"}"#);
        assert_eq!(read.mac, "bc:76:4e:20:6c:5b".parse().ok());
        assert_eq!(problems(&read), [("mac", "bc:76:4e:20:6c:5b is not the key's", Effect::Repaired)]);
        let nameless = HostNic::parse("stale", b"{}");
        assert_eq!(nameless.mac, None);
        assert_eq!(problems(&nameless)[0].0, "mac");
    }

    #[test]
    fn a_huge_record_is_refused() {
        let read = nic(&format!(r#"{{"label": "{}"}}"#, "x".repeat(RECORD_MAX)));
        assert_eq!((read.label, read.problems.len()), (None, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_a_problem(key in ".{0,14}", value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = HostNic::parse(&key, &value);
            prop_assert!(serde_json::from_slice::<Map<String, Value>>(&value).is_ok() || !read.problems.is_empty());
        }

        #[test]
        fn any_json_is_a_record_or_a_problem(text in r#"\{("(ips|ip6s|routes|dns|mac|label|gateway)": (\[(\{"(ip|netmask|route|gateway|enabled)": ("[0-9a-f.:]{0,12}"|null|[0-9]{1,3})\},?){0,2}\]|null|5),?){0,3}\}"#) {
            HostNic::parse("BC764E207572", text.as_bytes());
        }
    }

    fn store(records: &[(&str, &str)]) -> Tree {
        let mut store = Tree::parse("dump.json", b"{}").unwrap();
        for (key, value) in records {
            store.write(&format!("{PATH}/{key}"), value.as_bytes()).unwrap();
        }
        store
    }

    #[test]
    fn a_bad_record_never_stops_a_good_one() {
        let mut store = store(&[
            ("bc764e206c5b", "{"),
            ("BC764E207572", r#"{"ips": [{"ip": "192.0.2.9", "netmask": "255.255.255.0"}]}"#),
        ]);
        let network = host_nics(&mut store).unwrap();
        assert_eq!(network.nics.len(), 2);
        assert_eq!(network.nics[0].addresses4, ["192.0.2.9/24".parse().unwrap()]);
        assert_eq!(network.nics[1].problems.len(), 1);
    }

    #[test]
    fn a_host_that_says_nothing_assigns_nothing() {
        assert_eq!(host_nics(&mut store(&[])).unwrap(), HostNetwork::default());
    }
}
