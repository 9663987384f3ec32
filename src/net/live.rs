//! The addresses and routes that are up, and the steps from them to an intent without a gap.
//!
//! What is right is not touched; what is missing is added; only then what is not the host's is removed. Each step
//! carries the one that takes it back. The commands are those of iproute2, so that a person can read, repeat and
//! undo them, and the journal can hold them.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;

use super::intent::{Family, Hop, Intent, NicIntent, RouteIntent};
use crate::check::{Finding, Topic};
use crate::exec::Cmd;
use crate::plan::{LiveStep, Needs};

/// The most that one step takes; iproute2 answers at once unless the kernel is stuck.
const LIMIT: Duration = Duration::from_secs(5);

/// What the kernel says of a NIC besides its addresses.
pub trait Kernel {
    /// Whether it is switched off.
    fn is_down(&self, nic: &str) -> bool;
    /// Whether the other IPv4 addresses of a network stay when the first one is removed
    /// (Documentation/networking/ip-sysctl.rst, `promote_secondaries`).
    fn promotes_secondaries(&self, nic: &str) -> bool;
}

/// What is up now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    addresses: Vec<LiveAddress>,
    routes: Vec<LiveRoute>,
}

/// An address that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LiveAddress {
    nic: String,
    net: IpNet,
    /// It came from router advertisements and goes by itself.
    is_advertised: bool,
    /// What is to be said to get it again: an address has a broadcast address or none.
    broadcast: Option<String>,
}

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LiveRoute {
    to: IpNet,
    via: Option<IpAddr>,
    nic: Option<String>,
    metric: u32,
    /// It as iproute2 wrote it, which iproute2 also reads.
    words: Vec<String>,
}

impl Live {
    /// Looks at the running system.
    ///
    /// # Errors
    /// `ip` is missing, fails or hangs.
    pub fn look() -> Result<Self> {
        let ask = |argv: &[&str]| -> Result<String> {
            let output = Cmd::new(argv).within(LIMIT).output()?;
            let output =
                output.context("looking at addresses: the program ip (iproute2) is not installed")?;
            if !output.status.success() {
                bail!("running {}: {}", argv.join(" "), output.stderr.trim());
            }
            Ok(output.stdout)
        };
        let routes4 = ask(&["ip", "-4", "-o", "route", "show", "table", "main"])?;
        // a kernel without IPv6 has no table to show
        let routes6 = ask(&["ip", "-6", "-o", "route", "show", "table", "main"]).unwrap_or_default();
        let addresses = ask(&["ip", "-o", "address", "show"])?;
        Ok(Self::parse(&addresses, &routes4, &routes6))
    }

    /// Reads what `ip -o address show` and `ip -o route show` print.
    pub fn parse(addresses: &str, routes4: &str, routes6: &str) -> Self {
        let four = routes4.lines().filter_map(|line| route(line, Family::V4));
        let six = routes6.lines().filter_map(|line| route(line, Family::V6));
        Self { addresses: addresses.lines().filter_map(address).collect(), routes: four.chain(six).collect() }
    }

    /// Returns the addresses of a NIC that somebody set: without link-local and advertised ones.
    pub fn addresses_of(&self, nic: &str) -> Vec<IpNet> {
        self.addresses.iter().filter(|a| a.nic == nic && !a.is_advertised).map(|a| a.net).collect()
    }

    /// Whether a route is up as it should be.
    pub fn has_route(&self, nic: &str, wanted: &RouteIntent) -> bool {
        let via = wanted.hop.map(|hop| hop.via);
        self.routes.iter().any(|r| r.to == wanted.to && r.via == via && r.nic.as_deref() == Some(nic))
    }

    /// Returns the default routes of a family: the NIC and the next hop.
    pub fn defaults(&self, family: Family) -> Vec<(Option<&str>, Option<IpAddr>, u32)> {
        let of_family = |r: &&LiveRoute| r.to.prefix_len() == 0 && Family::of(r.to.addr()) == family;
        self.routes.iter().filter(of_family).map(|r| (r.nic.as_deref(), r.via, r.metric)).collect()
    }

    /// Compares what is up with the intent: a finding per NIC for its addresses and one for its routes.
    pub fn compare(&self, intent: &Intent) -> Vec<Finding> {
        let mut findings = Vec::new();
        for nic in &intent.nics {
            let up = self.addresses_of(&nic.name);
            let missing = nic.addresses.iter().filter(|net| !up.contains(net)).map(|net| ("missing", net));
            let strange =
                up.iter().filter(|net| !nic.addresses.contains(net)).map(|net| ("not the host's", net));
            let wrong: Vec<_> = missing.chain(strange).map(|(what, net)| (what, net.to_string())).collect();
            findings.push(judged("addresses-match-host-data", &nic.name, "the addresses", &wrong));
            let routes = [Family::V4, Family::V6].into_iter().flat_map(|family| nic.routes_of(family));
            let missing = routes.filter(|route| !self.has_route(&nic.name, route));
            let wrong: Vec<_> = missing.map(|route| ("missing", route.to.to_string())).collect();
            findings.push(judged("routes-match-host-data", &nic.name, "the routes", &wrong));
        }
        findings
    }

    /// Returns the steps from here to the intent: links up, addresses and routes added, then what is not the host's
    /// removed. NICs that the intent does not name are not touched.
    pub fn steps_to(&self, intent: &Intent, kernel: &impl Kernel) -> Vec<LiveStep> {
        let mut steps = Vec::new();
        for nic in intent.nics.iter().filter(|nic| kernel.is_down(&nic.name)) {
            steps.push(step(&["ip", "link", "set", "dev", &nic.name, "up"], None));
        }
        for nic in &intent.nics {
            self.add_addresses(nic, &mut steps);
        }
        for nic in &intent.nics {
            self.add_routes(nic, &mut steps);
        }
        for nic in &intent.nics {
            self.remove_strangers(nic, kernel, &mut steps);
        }
        steps
    }

    fn add_addresses(&self, nic: &NicIntent, steps: &mut Vec<LiveStep>) {
        let present = self.addresses_of(&nic.name);
        for net in nic.addresses.iter().filter(|net| !present.contains(net)) {
            let text = net.to_string();
            let back = ["ip", "address", "del", &text, "dev", &nic.name];
            let mut run = vec!["ip", "address", "replace", &text, "dev", &nic.name];
            if Family::of(net.addr()) == Family::V6 {
                // usable at once: a route through it must not wait for duplicate address detection
                run.push("nodad");
            } else if net.prefix_len() < 31 {
                run.extend(["broadcast", "+"]);
            }
            steps.push(step(&run, Some(&back)));
        }
    }

    fn add_routes(&self, nic: &NicIntent, steps: &mut Vec<LiveStep>) {
        let families = [Family::V4, Family::V6];
        for wanted in families.into_iter().flat_map(|family| nic.routes_of(family)) {
            if self.has_route(&nic.name, &wanted) {
                continue;
            }
            let flag = if Family::of(wanted.to.addr()) == Family::V4 { "-4" } else { "-6" };
            let to = if wanted.to.prefix_len() == 0 { "default".to_owned() } else { wanted.to.to_string() };
            let mut run =
                vec!["ip".to_owned(), flag.to_owned(), "route".to_owned(), "replace".to_owned(), to.clone()];
            if let Some(Hop { via, onlink }) = wanted.hop {
                run.extend(["via".to_owned(), via.to_string()]);
                run.extend(["dev".to_owned(), nic.name.clone()]);
                run.extend(onlink.then(|| "onlink".to_owned()));
            } else {
                run.extend(["dev".to_owned(), nic.name.clone()]);
            }
            // `replace` takes the place of the route with the same destination and metric
            let same = |r: &&LiveRoute| r.to == wanted.to && r.metric == metric_of(&wanted);
            let back = match self.routes.iter().find(same) {
                Some(old) => {
                    [&["ip".to_owned(), flag.to_owned(), "route".into(), "replace".into()], &old.words[..]]
                        .concat()
                }
                None => ["ip", flag, "route", "del", &to, "dev", &nic.name].map(str::to_owned).to_vec(),
            };
            let words: Vec<&str> = run.iter().map(String::as_str).collect();
            let back: Vec<&str> = back.iter().map(String::as_str).collect();
            steps.push(step(&words, Some(&back)));
        }
    }

    /// Removes addresses that the host did not give this NIC: typically those of the server that an image was made
    /// from. Default routes of this NIC that lead elsewhere go first, since they would win by a lower metric.
    fn remove_strangers(&self, nic: &NicIntent, kernel: &impl Kernel, steps: &mut Vec<LiveStep>) {
        for route in &self.routes {
            let is_stranger = route.to.prefix_len() == 0
                && route.nic.as_deref() == Some(nic.name.as_str())
                && route.via.is_some()
                && !route.words.iter().any(|word| word == "ra")
                && !nic
                    .routes_of(Family::of(route.to.addr()))
                    .iter()
                    .any(|w| w.hop.map(|h| h.via) == route.via);
            // one that a new route replaced is gone already
            let replaced = self.add_would_replace(nic, route);
            if is_stranger && !replaced {
                let flag = if route.to.addr().is_ipv4() { "-4" } else { "-6" };
                let words: Vec<&str> = route.words.iter().map(String::as_str).collect();
                let run = [&["ip", flag, "route", "del"], &words[..]].concat();
                let back = [&["ip", flag, "route", "replace"], &words[..]].concat();
                steps.push(step(&run, Some(&back)));
            }
        }
        let mut strangers = self.addresses_of(&nic.name);
        strangers.retain(|net| !nic.addresses.contains(net));
        // Removing the first IPv4 address of a network takes the others with it unless they are promoted.
        let shares =
            |net: &IpNet| net.addr().is_ipv4() && nic.addresses.iter().any(|a| a.trunc() == net.trunc());
        if strangers.iter().any(shares) && !kernel.promotes_secondaries(&nic.name) {
            let key = format!("net/ipv4/conf/{}/promote_secondaries", nic.name);
            let (on, off) = (format!("{key}=1"), format!("{key}=0"));
            steps.push(step(&["sysctl", "-q", "-w", &on], Some(&["sysctl", "-q", "-w", &off])));
        }
        for net in strangers {
            let text = net.to_string();
            let run = ["ip", "address", "del", &text, "dev", &nic.name];
            let mut back = vec!["ip", "address", "replace", &text, "dev", &nic.name];
            let known = self.addresses.iter().find(|a| a.nic == nic.name && a.net == net);
            if let Some(broadcast) = known.and_then(|address| address.broadcast.as_deref()) {
                back.extend(["broadcast", broadcast]);
            }
            steps.push(step(&run, Some(&back)));
        }
    }

    fn add_would_replace(&self, nic: &NicIntent, route: &LiveRoute) -> bool {
        let wanted = nic.routes_of(Family::of(route.to.addr()));
        wanted
            .iter()
            .any(|w| w.to == route.to && metric_of(w) == route.metric && !self.has_route(&nic.name, w))
    }
}

fn judged(id: &'static str, nic: &str, what: &str, wrong: &[(&str, String)]) -> Finding {
    let mut finding = if wrong.is_empty() {
        Finding::ok(format!("{what} of {nic} are the host's"))
    } else {
        Finding::fail(format!("{what} of {nic} are not the host's"))
    };
    for (problem, net) in wrong {
        finding = finding.seen(net, *problem);
    }
    finding.about(nic).of(id, Topic::Network)
}

/// A route without a metric has 0 in IPv4 and 1024 in IPv6 (kernel, `IP6_RT_PRIO_USER`).
fn metric_of(route: &RouteIntent) -> u32 {
    if route.to.addr().is_ipv4() { 0 } else { 1024 }
}

fn step(run: &[&str], back: Option<&[&str]>) -> LiveStep {
    LiveStep {
        run: Cmd::new(run).within(LIMIT),
        back: back.map(|back| Cmd::new(back).within(LIMIT)),
        needs: Needs::Any,
    }
}

/// Reads `2: eth0    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\       valid_lft forever …`.
fn address(line: &str) -> Option<LiveAddress> {
    let mut words = line.split_whitespace();
    let nic = words.nth(1)?.split('@').next()?.to_owned();
    let family = words.next().filter(|word| matches!(*word, "inet" | "inet6"))?;
    let net: IpNet = match words.next()? {
        net if net.contains('/') => net.parse().ok()?,
        // a point-to-point address is written without its length
        alone => IpNet::from(alone.parse::<IpAddr>().ok()?),
    };
    let rest: Vec<&str> = words.collect();
    if rest.windows(2).any(|pair| pair == ["scope", "link"] || pair == ["scope", "host"]) {
        return None;
    }
    let is_advertised =
        family == "inet6" && rest.iter().any(|word| *word == "dynamic" || *word == "kernel_ra");
    let broadcast = rest.windows(2).find(|pair| pair[0] == "brd").map(|pair| pair[1].to_owned());
    Some(LiveAddress { nic, net, is_advertised, broadcast })
}

/// Reads `default via 10.0.0.1 dev eth0 proto static metric 100 onlink` and the like.
fn route(line: &str, family: Family) -> Option<LiveRoute> {
    // one line a route; alternatives of a multipath route follow a backslash and are left to who made them
    let line = line.split('\\').next()?.trim();
    // state that `ip` prints and does not read
    let state = ["linkdown", "dead", "offload", "trap", "rt_offload", "rt_trap"];
    let words: Vec<&str> = line.split_whitespace().filter(|word| !state.contains(word)).collect();
    let everywhere = if family == Family::V4 { "0.0.0.0/0" } else { "::/0" };
    let to = match *words.first()? {
        "default" => everywhere.parse().ok()?,
        "unreachable" | "blackhole" | "prohibit" | "broadcast" | "local" | "multicast" | "anycast" => {
            return None;
        }
        net if net.contains('/') => net.parse().ok()?,
        alone => IpNet::from(alone.parse::<IpAddr>().ok()?),
    };
    let after = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
    let metric = after("metric").and_then(|metric| metric.parse().ok()).unwrap_or(0);
    // `expires 1798sec` and `pref medium` are not read back as they are printed
    let end = words.iter().position(|word| *word == "expires").unwrap_or(words.len());
    Some(LiveRoute {
        to,
        via: after("via").and_then(|via| via.parse().ok()),
        nic: after("dev").map(ToString::to_string),
        metric,
        words: words[..end].iter().map(ToString::to_string).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADDRESSES: &str = "\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0@if3    inet 10.0.0.5/24 brd 10.0.0.255 scope global eth0\\       valid_lft forever preferred_lft forever
2: eth0    inet6 2001:db8::9/64 scope global dynamic mngtmpaddr \\       valid_lft 86399sec preferred_lft 14399sec
2: eth0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever
3: eth1    inet 10.9.0.7/16 scope global eth1\\       valid_lft forever preferred_lft forever
";

    fn intent(addresses: &[&str], gateway: Option<(&str, bool)>) -> Intent {
        let gateway = gateway.map(|(via, onlink)| Hop { via: via.parse().unwrap(), onlink });
        Intent {
            nics: vec![NicIntent {
                giver: crate::net::host::Giver::Host,
                name: "eth0".to_owned(),
                mac: "bc:76:4e:20:75:72".parse().unwrap(),
                label: None,
                addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
                gateway4: gateway.filter(|g| g.via.is_ipv4()),
                gateway6: gateway.filter(|g| g.via.is_ipv6()),
                routes: Vec::new(),
                dns: Vec::new(),
            }],
        }
    }

    struct Fresh;

    impl Kernel for Fresh {
        fn is_down(&self, nic: &str) -> bool {
            nic == "eth9"
        }
        fn promotes_secondaries(&self, _nic: &str) -> bool {
            false
        }
    }

    fn lines(steps: &[LiveStep]) -> Vec<(String, Option<String>)> {
        let line = |cmd: &Cmd| cmd.argv().join(" ");
        steps.iter().map(|step| (line(&step.run), step.back.as_ref().map(line))).collect()
    }

    #[test]
    fn what_is_right_is_not_touched() {
        let live = Live::parse(
            ADDRESSES,
            "default via 10.0.0.1 dev eth0\n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.5\n",
            "",
        );
        let steps = live.steps_to(&intent(&["10.0.0.5/24"], Some(("10.0.0.1", false))), &Fresh);
        assert_eq!(lines(&steps), []);
    }

    #[test]
    fn the_sources_address_goes_after_the_own_one_came() {
        let live = Live::parse(ADDRESSES, "default via 10.0.0.1 dev eth0 \n", "");
        let steps = live.steps_to(&intent(&["192.0.2.7/24"], Some(("192.0.2.1", false))), &Fresh);
        let add = "ip address replace 192.0.2.7/24 dev eth0 broadcast +";
        let route = "ip -4 route replace default via 192.0.2.1 dev eth0";
        let del = "ip address del 10.0.0.5/24 dev eth0";
        assert_eq!(
            lines(&steps),
            [
                (add.to_owned(), Some("ip address del 192.0.2.7/24 dev eth0".to_owned())),
                (route.to_owned(), Some("ip -4 route replace default via 10.0.0.1 dev eth0".to_owned())),
                (
                    del.to_owned(),
                    Some("ip address replace 10.0.0.5/24 dev eth0 broadcast 10.0.0.255".to_owned())
                ),
            ]
        );
    }

    #[test]
    fn a_default_route_that_would_win_by_its_metric_is_removed() {
        let live = Live::parse("", "default via 10.0.0.1 dev eth0 proto dhcp metric 100 linkdown\n", "");
        let steps = live.steps_to(&intent(&[], Some(("192.0.2.1", true))), &Fresh);
        assert_eq!(
            lines(&steps).into_iter().map(|(run, _)| run).collect::<Vec<_>>(),
            [
                "ip -4 route replace default via 192.0.2.1 dev eth0 onlink",
                "ip -4 route del default via 10.0.0.1 dev eth0 proto dhcp metric 100",
            ]
        );
    }

    #[test]
    fn a_stranger_in_the_own_network_does_not_take_the_own_address_with_it() {
        let live = Live::parse(ADDRESSES, "", "");
        let steps = live.steps_to(&intent(&["10.0.0.7/24"], None), &Fresh);
        assert_eq!(
            lines(&steps).into_iter().map(|(run, _)| run).collect::<Vec<_>>(),
            [
                "ip address replace 10.0.0.7/24 dev eth0 broadcast +",
                "sysctl -q -w net/ipv4/conf/eth0/promote_secondaries=1",
                "ip address del 10.0.0.5/24 dev eth0",
            ]
        );
    }

    #[test]
    fn a_nic_that_is_off_is_switched_on_first() {
        let mut intent = intent(&["10.0.0.7/24"], None);
        intent.nics[0].name = "eth9".to_owned();
        let steps = Live::default().steps_to(&intent, &Fresh);
        assert_eq!(lines(&steps)[0], ("ip link set dev eth9 up".to_owned(), None));
    }

    #[test]
    fn other_nics_and_advertised_addresses_are_left_alone() {
        let live = Live::parse(
            ADDRESSES,
            "default via 10.9.0.1 dev eth1\n",
            "default via fe80::2 dev eth0 proto ra metric 1024 expires 1798sec pref medium\n",
        );
        let steps = live.steps_to(&intent(&["10.0.0.5/24"], None), &Fresh);
        assert_eq!(lines(&steps), []);
    }

    proptest! {
        #[test]
        fn any_output_of_ip_is_read_without_a_panic(addresses in "(.{0,60}\n){0,4}", routes in "(.{0,60}\n){0,4}") {
            let live = Live::parse(&addresses, &routes, &routes);
            live.steps_to(&intent(&["10.0.0.5/24"], Some(("10.0.0.1", false))), &Fresh);
        }
    }
}
