//! One record of the host's, member by member.
//!
//! The host is sloppy in known ways, and those are read for what they mean: keys in either case, `null`, `""` and
//! `"None"` for nothing, missing members, numbers as text, IPv6 routes with a hexadecimal mask among the IPv4 ones,
//! the member names of old releases, and backslashes that dom0's tool dropped on the way. Everything else is strict:
//! what cannot be read is left out, and a [`Problem`] names the key and the field. A bad record, or a bad field,
//! never costs a good one.
//!
//! Source of the form: nova's XenAPI driver, `vmops.py: _get_vif_data / inject_network_info`, back to 2011.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::{Effect, Giver, HostNic, Problem, Route};
use crate::net::Mac;

/// The longest record that is read, in bytes: a store's message holds 4096, a dump can hold anything.
pub(super) const RECORD_MAX: usize = 64 << 10;

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
            giver: Giver::Host,
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
