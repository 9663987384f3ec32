//! A profile of NetworkManager: which NIC it fits, whether it is taken by itself and before others, what it configures.
//! Source: nm-settings-keyfile(5), nm-settings(5).

use std::collections::HashSet;

use uuid::Uuid;

use super::super::super::configured::Scan;
use super::super::super::ini::{self, Setting};
use super::super::super::intent::NicIntent;
use super::super::super::{Mac, assignments, keyfile};
use super::super::reading::{Reach, Reading};
use super::{DIR, PREFIX, PRIORITY_MAX};
use crate::glob;

/// A profile as NetworkManager reads it.
pub(super) struct Profile {
    pub(super) path: String,
    settings: Vec<Setting>,
}

/// Returns the profiles that there are; what cannot be read is left to the scan.
pub(super) fn profiles(scan: &mut Scan) -> Vec<Profile> {
    let mut profiles = Vec::new();
    for path in keyfile::files(scan) {
        // a link to /dev/null hides a package's profile
        if matches!(scan.root.link_opt(&path), Ok(Some(to)) if to == "/dev/null") {
            continue;
        }
        if let Some(text) = scan.text(&path) {
            profiles.push(Profile { path, settings: ini::parse(&text) });
        }
    }
    profiles
}

impl Profile {
    pub(super) fn value(&self, section: &str, key: &str) -> &str {
        ini::last(&self.settings, section, key).map_or("", |setting| setting.value.as_str())
    }

    pub(super) fn is_ours(&self) -> bool {
        self.path.strip_prefix(DIR).is_some_and(|rest| rest.starts_with(&format!("/{PREFIX}")))
    }

    /// Whether it gives a NIC addresses of its own: Ethernet, and no port of a bridge or bond.
    pub(super) fn is_for_nic(&self) -> bool {
        let port = ["master", "controller", "slave-type", "port-type"];
        matches!(self.value("connection", "type"), "ethernet" | "802-3-ethernet")
            && port.iter().all(|key| self.value("connection", key).is_empty())
    }

    /// The MAC that it asks for. One that cannot be read is dropped by NetworkManager, and the profile then fits any.
    pub(super) fn mac(&self) -> Option<Mac> {
        let texts = ["ethernet", "802-3-ethernet"].map(|section| self.value(section, "mac-address"));
        texts.into_iter().find(|text| !text.is_empty())?.parse().ok()
    }

    /// Whether NetworkManager can use it for a NIC.
    pub(super) fn fits(&self, name: &str, mac: Mac) -> bool {
        let wanted = self.value("connection", "interface-name");
        let mut patterns =
            self.value("match", "interface-name").split([';', ',']).filter(|p| !p.is_empty()).peekable();
        (wanted.is_empty() || wanted == name)
            && (patterns.peek().is_none() || patterns.any(|pattern| glob::matches(pattern, name)))
            && self.mac().is_none_or(|of| of == mac)
    }

    /// Whether it names a NIC that is none of these.
    pub(super) fn is_for_other_than(&self, names: &[String]) -> bool {
        let name = self.value("connection", "interface-name");
        !name.is_empty() && !names.iter().any(|known| known == name)
    }

    /// Whether it names this NIC, by its name or its MAC.
    pub(super) fn is_made_for(&self, name: &str, mac: Mac) -> bool {
        self.value("connection", "interface-name") == name || self.mac() == Some(mac)
    }

    /// Returns the lines of sections, which are taken for one.
    pub(super) fn lines_of(&self, sections: &[&str], is_kept: impl Fn(&str) -> bool) -> Vec<String> {
        let of_section = self.settings.iter().filter(|s| sections.contains(&s.section.as_str()));
        of_section.filter(|s| is_kept(&s.key)).map(|s| format!("{}={}", s.key, s.value)).collect()
    }

    /// Whether it was made for this NIC, or would be taken instead of ours or for it.
    pub(super) fn is_rival_of(&self, nic: &NicIntent, uuid: &Uuid) -> bool {
        let is_made_for_it = self.is_made_for(&nic.name, nic.mac);
        let has_uuid = self.value("connection", "uuid").parse() == Ok(*uuid);
        let is_preferred =
            self.is_automatic() && self.fits(&nic.name, nic.mac) && self.priority() >= PRIORITY_MAX;
        self.is_for_nic() && (is_made_for_it || has_uuid || is_preferred)
    }

    /// Whether NetworkManager connects it by itself.
    pub(super) fn is_automatic(&self) -> bool {
        !assignments::is_no(self.value("connection", "autoconnect"))
    }

    pub(super) fn priority(&self) -> i32 {
        self.value("connection", "autoconnect-priority").parse().unwrap_or(0)
    }

    pub(super) fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        let on_link = |s: &&Setting| s.value.split(',').any(|option| option.trim() == "onlink=true");
        let on_link: HashSet<(&str, &str)> = self
            .settings
            .iter()
            .filter(on_link)
            .filter_map(|s| Some((s.section.as_str(), s.key.strip_suffix("_options")?)))
            .collect();
        for section in ["ipv4", "ipv6"] {
            // with another method these lines are in addition to what DHCP says
            let of_section = || self.settings.iter().filter(move |s| s.section == section);
            let mut gateways = vec![self.value(section, "gateway")];
            for setting in of_section().filter(|s| is_numbered(&s.key, &["addresses", "address"])) {
                let (address, gateway) = setting.value.split_once(',').unwrap_or((&setting.value, ""));
                reading.add_address(address.trim());
                gateways.push(gateway.trim());
            }
            if let Some(gateway) = gateways.into_iter().find(|gateway| !gateway.is_empty()) {
                reading.add_route("default", Some(gateway), Reach::Arranged);
            }
            for setting in of_section().filter(|s| is_numbered(&s.key, &["routes", "route"])) {
                let mut parts = setting.value.split(',').map(str::trim);
                let to = parts.next().unwrap_or_default();
                let is_onlink = on_link.contains(&(section, setting.key.as_str()));
                let reach = if is_onlink { Reach::OnLink } else { Reach::Plain };
                reading.add_route(to, parts.next(), reach);
            }
            for setting in of_section().filter(|s| s.key == "dns") {
                setting.value.split(';').for_each(|server| reading.add_dns(server.trim()));
            }
        }
        reading
    }
}

/// Whether a key is one of these words with a number, or the word alone.
fn is_numbered(key: &str, words: &[&str]) -> bool {
    let rest = words.iter().find_map(|word| key.strip_prefix(word));
    rest.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::super::super::intent::Nic;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn profiles_are_read_in_the_old_form_too() {
        let text = "[connection]\ntype=802-3-ethernet\n[ipv4]\nmethod=manual\n\
            address1=192.0.2.9/24,192.0.2.1\nroute1=198.51.100.0/24,192.0.2.2,100\nroutes2=default\ndns=192.0.2.53;x;\n";
        let profile = Profile { path: String::new(), settings: ini::parse(text) };
        let nic = Nic { name: "eth0".to_owned(), mac: "52:54:00:a1:00:01".parse().unwrap() };
        let read = profile.reading().nic(&nic);
        assert_eq!(read.gateway4.map(|hop| hop.via.to_string()).as_deref(), Some("192.0.2.1"));
        let routes: Vec<_> = read.routes.iter().map(|route| route.to.to_string()).collect();
        assert_eq!((routes, read.dns.len()), (vec!["198.51.100.0/24".to_owned()], 1));
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "(\\[(connection|ethernet|ipv4|ipv6|match)\\]\n|(type|interface-name|mac-address|address1|route1|route1_options|gateway|dns|autoconnect-priority)=.{0,12}\n){0,8}") {
            let profile = Profile { path: "x".to_owned(), settings: ini::parse(&text) };
            let mac = "52:54:00:a1:00:01".parse().unwrap();
            let _ = (profile.fits("eth0", mac), profile.is_for_nic(), profile.priority(), profile.reading());
        }
    }
}
