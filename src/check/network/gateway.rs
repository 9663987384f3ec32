//! Default routes that rival each other, and next hops that cannot be reached.
//!
//! A running guest is asked for its routes as well: what somebody added by hand is in no file.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::TEMPLATE;
use super::fault::{Fault, Judged};
use super::next_hop::{self, NextHop};
use super::owner;
use crate::check::{Check, Finding};
use crate::exec::Cmd;
use crate::net::intent::Family;
use crate::net::live::Live;
use crate::net::survey::Survey;
use crate::plan::{LiveStep, Needs, Plan};
use crate::target::Target;

pub(super) const DEFAULT_SINGLE: Check = Check {
    id: "default-route-single",
    about: "one default route of each family wins",
    probe: |target| Ok(rivals(target)?.0.findings()),
    fix: Some(single),
    page: include_str!("../pages/default-route-single.md"),
    ..TEMPLATE
};

pub(super) const ON_LINK: Check = Check {
    id: "gateway-on-link",
    about: "every next hop can be reached",
    probe: |target| Ok(far(target)?.findings()),
    fix: Some(|target| far(target)?.plan(target)),
    page: include_str!("../pages/gateway-on-link.md"),
    ..TEMPLATE
};

/// The most that one step takes.
const LIMIT: Duration = Duration::from_secs(5);
/// The most routes that are shown and taken away.
const ROUTES_MAX: usize = 10;

fn rivals(target: &Target) -> Result<(Judged, Vec<LiveStep>)> {
    let Some(hops) = next_hop::of(target)? else { return Ok((owner::refused(), Vec::new())) };
    let survey = target.survey()?;
    let live = if target.is_live() { Some(Live::look()?) } else { None };
    let mut faults = Vec::new();
    let mut steps = Vec::new();
    for family in [Family::V4, Family::V6] {
        let mut fault = rivals_of(&hops, family, survey);
        if let Some(live) = &live {
            let (seen, undo) = live_rivals(live, family, survey);
            if !seen.is_empty() {
                let mut it =
                    fault.take().unwrap_or_else(|| Fault { finding: rivalry(family), edits: Vec::new() });
                it.finding =
                    seen.into_iter().fold(it.finding, |finding, route| finding.seen("ip route", route));
                fault = Some(it);
                steps.extend(undo);
            }
        }
        faults.extend(fault);
    }
    let otherwise = match (hops.iter().any(|hop| hop.is_default), &live) {
        (false, None) => Finding::skipped("no file that is read names a gateway"),
        _ => Finding::ok("no two default routes of the same weight"),
    };
    Ok((Judged { faults, otherwise }, steps))
}

fn rivalry(family: Family) -> Finding {
    let word = word(family);
    Finding::warn(format!("several NICs have a default route for {word}, none of which outweighs the others"))
        .because("answers leave by the wrong NIC and are dropped; which one wins changes from boot to boot")
        .about(word)
        .mend(
            "leave the default route to the public NIC; give others a larger metric, or routes of their own",
        )
}

fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn rivals_of(hops: &[NextHop], family: Family, survey: &Survey) -> Option<Fault> {
    let mut of_metric: BTreeMap<Option<u32>, Vec<&NextHop>> = BTreeMap::new();
    for hop in hops.iter().filter(|hop| hop.is_default && Family::of(hop.via) == family) {
        of_metric.entry(hop.metric).or_default().push(hop);
    }
    // what outweighs these is a default route that wins
    let (_, group) = of_metric.first_key_value()?;
    let keeper = keeper(group.iter().map(|hop| hop.nic.as_str()), survey)?;
    let losers: Vec<&&NextHop> = group.iter().filter(|hop| hop.nic != keeper).collect();
    if losers.is_empty() {
        return None;
    }
    let shown = group.iter().take(ROUTES_MAX);
    let finding = shown.fold(rivalry(family), |finding, hop| finding.seen(&hop.source, &hop.text));
    // half a fix is none
    let is_whole = losers.iter().all(|hop| !hop.demote.is_empty());
    let edits = losers.iter().filter(|_| is_whole).flat_map(|hop| hop.demote.clone()).collect();
    Some(Fault { finding, edits })
}

/// Returns the NIC that the default route is to stay with: the public one, else the first.
fn keeper<'n>(nics: impl Iterator<Item = &'n str> + Clone, survey: &Survey) -> Option<&'n str> {
    let is_public = |name: &&str| {
        survey.interfaces.iter().any(|interface| {
            let is_it = interface.link.name == **name;
            is_it && interface.is_public && survey.record(interface).is_some_and(|record| record.is_public())
        })
    };
    nics.clone().find(is_public).or_else(|| nics.min())
}

/// Default routes that are up with equal weight, and the steps that take the wrong ones away.
fn live_rivals(live: &Live, family: Family, survey: &Survey) -> (Vec<String>, Vec<LiveStep>) {
    let defaults = live.defaults(family);
    let lowest = defaults.iter().map(|(_, _, metric)| *metric).min();
    let routes: Vec<_> = defaults
        .into_iter()
        .filter(|(_, _, metric)| Some(*metric) == lowest)
        .filter_map(|(nic, via, metric)| Some((nic?, via?, metric)))
        .take(ROUTES_MAX)
        .collect();
    let Some(keeper) = keeper(routes.iter().map(|(nic, ..)| *nic), survey) else {
        return (Vec::new(), Vec::new());
    };
    if routes.iter().all(|(nic, ..)| *nic == keeper) {
        return (Vec::new(), Vec::new());
    }
    let flag = if family == Family::V4 { "-4" } else { "-6" };
    let step = |(nic, via, metric): &(&str, std::net::IpAddr, u32)| {
        let (via, metric) = (via.to_string(), metric.to_string());
        let words = ["default", "via", via.as_str(), "dev", nic, "metric", metric.as_str()];
        let cmd = |verb| Cmd::new(&[&["ip", flag, "route", verb][..], &words].concat()).within(LIMIT);
        LiveStep { run: cmd("del"), back: Some(cmd("append")), needs: Needs::Any }
    };
    let steps = routes.iter().filter(|(nic, ..)| *nic != keeper).map(step).collect();
    let shown =
        routes.iter().map(|(nic, via, metric)| format!("default via {via} dev {nic} metric {metric}"));
    (shown.collect(), steps)
}

fn single(target: &Target) -> Result<Plan> {
    let (judged, steps) = rivals(target)?;
    let mut plan = judged.plan(target)?;
    plan.steps = steps;
    Ok(plan)
}

fn far(target: &Target) -> Result<Judged> {
    let Some(hops) = next_hop::of(target)? else { return Ok(owner::refused()) };
    let otherwise = if hops.is_empty() {
        Finding::skipped("no file that is read names a next hop")
    } else {
        Finding::ok("every next hop is on the link, or seen to")
    };
    let faults = hops.into_iter().filter(|hop| hop.is_far).map(unreachable).collect();
    Ok(Judged { faults, otherwise })
}

fn unreachable(hop: NextHop) -> Fault {
    let NextHop { nic, via, .. } = &hop;
    let finding = Finding::fail(format!("the next hop {via} of {nic} is on no network of the NIC"))
        .because(
            "the route is not set: network is unreachable; networkd leaves the link in the state configuring",
        )
        .seen(&hop.source, &hop.text)
        .about(nic)
        .mend("say that the next hop is on the link: on-link: true (netplan), onlink in a route file");
    Fault { finding, edits: hop.put_on_link }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
