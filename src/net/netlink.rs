//! Links, addresses and neighbours of the running system: one rtnetlink dump each, whatever their number.
//!
//! Only what reports need is decoded; an attribute of another form than expected counts as absent, never as an
//! error, because kernels from 2.6.32 on are looked at.
//!
//! Source: include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,if_tun,ipv6,neighbour}.h.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use netlink_packet_core::{
    NLA_HEADER_SIZE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NlasIterator,
};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::Mac;
use super::links::{Kind, Link, State};
use super::sysfs;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;

/// Bytes read at once; the kernel fills 32 KiB at most (net/netlink/af_netlink.c: netlink_recvmsg).
const BUFFER: usize = 64 << 10;
/// The receive buffer that is asked for, so that a dump does not overrun it.
const SOCKET_BUFFER: usize = 1 << 20;
/// How often a dump is repeated that was disturbed by a change.
const TRIES: usize = 5;
/// The kernel answers at once; a limit all the same, so that nothing ever hangs.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Returns the links with their addresses, in the kernel's order.
///
/// # Errors
/// There is no netlink, or no dump came to an end.
pub(super) fn links() -> Result<Vec<Link>> {
    let mut found: Vec<Found> =
        dump(RTM_GETLINK, &link_request(), RTM_NEWLINK, link).context("listing the links")?;
    // struct ifaddrmsg of all families
    let addresses = dump(RTM_GETADDR, &[0; 8], RTM_NEWADDR, address).context("listing the addresses")?;
    let places: HashMap<u32, usize> =
        found.iter().enumerate().map(|(place, f)| (f.link.index, place)).collect();
    for (index, address) in addresses {
        // a link that came up between the two dumps has no place
        if let Some(&place) = places.get(&index) {
            found[place].link.addresses.push(address);
        }
    }
    let name = |index: Option<u32>| {
        index.and_then(|index| places.get(&index)).map(|&place| found[place].link.name.clone())
    };
    let names: Vec<_> = found.iter().map(|f| (name(f.master), name(f.lower))).collect();
    let finish = |(found, (master, lower)): (Found, _)| Link { master, lower, ..found.link };
    Ok(found.drain(..).zip(names).map(finish).collect())
}

/// What the kernel knows of another machine on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) index: u32,
    pub(super) address: IpAddr,
    /// It has answered, and has not been silent since; or somebody wrote its hardware address down.
    pub(super) is_known: bool,
}

/// Returns the neighbours on all links.
///
/// # Errors
/// There is no netlink, or no dump came to an end.
pub(super) fn neighbours() -> Result<Vec<Neighbour>> {
    // struct ndmsg of all families
    dump(RTM_GETNEIGH, &[0; 12], RTM_NEWNEIGH, neighbour).context("listing the neighbours")
}

/// A link whose relations are still numbers.
struct Found {
    link: Link,
    master: Option<u32>,
    lower: Option<u32>,
}

/// struct ifinfomsg, and `IFLA_EXT_MASK` that leaves out the counters: half of every message.
fn link_request() -> Vec<u8> {
    const IFLA_EXT_MASK: u16 = 29;
    const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
    let mut request = vec![0; 16];
    request.extend(8_u16.to_ne_bytes());
    request.extend(IFLA_EXT_MASK.to_ne_bytes());
    request.extend(RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    request
}

/// Asks for everything of one sort, again when the kernel says that it changed meanwhile.
fn dump<T>(ask: u16, body: &[u8], answer: u16, decode: fn(&[u8]) -> Option<T>) -> Result<Vec<T>> {
    let mut buffer = vec![0; BUFFER];
    for _ in 0..TRIES {
        let socket = ask_for(ask, body)?;
        let mut found = Vec::new();
        match receive(&socket, &mut buffer, answer, |payload| found.extend(decode(payload)))? {
            Ended::Whole => return Ok(found),
            Ended::Disturbed => tracing::debug!("the links changed during the dump: once more"),
        }
    }
    bail!("they change faster than the kernel can list them");
}

/// How a dump came out.
enum Ended {
    Whole,
    Disturbed,
}

fn ask_for(ask: u16, body: &[u8]) -> Result<OwnedFd> {
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .context("opening a netlink socket")?;
    // Either may be refused by the system's limits; the dump then works with the default.
    if let Err(e) = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER) {
        tracing::debug!("enlarging netlink's receive buffer: {e}");
    }
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_LIMIT))?;
    rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    let length = u32::try_from(16 + body.len())?;
    let mut message = vec![0; 16];
    let mut header = NetlinkBuffer::new(&mut message);
    header.set_length(length);
    header.set_message_type(ask);
    header.set_flags(NLM_F_REQUEST | NLM_F_DUMP);
    header.set_sequence_number(1);
    message.extend(body);
    rustix::net::send(&socket, &message, SendFlags::empty()).context("asking the kernel")?;
    Ok(socket)
}

fn receive(socket: &OwnedFd, buffer: &mut [u8], answer: u16, mut take: impl FnMut(&[u8])) -> Result<Ended> {
    let mut disturbed = false;
    loop {
        let size = match rustix::net::recv(socket, &mut *buffer, RecvFlags::TRUNC) {
            Ok((_, size)) => size,
            Err(Errno::INTR) => continue,
            // the receive buffer overran: messages are lost
            Err(Errno::NOBUFS) => return Ok(Ended::Disturbed),
            Err(e) => return Err(e).context("reading the kernel's answer"),
        };
        let mut rest = buffer.get(..size).context("a message of netlink is larger than the buffer")?;
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).context("reading the kernel's answer")?;
            disturbed |= message.flags() & NLM_F_DUMP_INTR != 0;
            match message.message_type() {
                NLMSG_DONE => return Ok(if disturbed { Ended::Disturbed } else { Ended::Whole }),
                NLMSG_ERROR => bail!("the kernel refuses: {}", refusal(message.payload())),
                kind if kind == answer => take(message.payload()),
                _ => {}
            }
            let step = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(step..).unwrap_or_default();
        }
    }
}

/// struct nlmsgerr begins with a negative errno.
fn refusal(payload: &[u8]) -> std::io::Error {
    std::io::Error::from_raw_os_error(number(payload).map_or(0, |code| (code as i32).wrapping_neg()))
}

fn link(message: &[u8]) -> Option<Found> {
    const IFLA_ADDRESS: u16 = 1;
    const IFLA_IFNAME: u16 = 3;
    const IFLA_MTU: u16 = 4;
    const IFLA_LINK: u16 = 5;
    const IFLA_MASTER: u16 = 10;
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_AF_SPEC: u16 = 26;
    const IFLA_LINK_NETNSID: u16 = 37;
    const IFLA_PERM_ADDRESS: u16 = 54;

    // struct ifinfomsg: family, pad, type, index, flags, change
    let (header, rest) = message.split_at_checked(16)?;
    let hardware = u16::from_ne_bytes([header[2], header[3]]);
    let index = number(&header[4..])?;
    let mut found = Found {
        link: Link {
            name: String::new(),
            index,
            kind: sysfs::kind_of_hardware(hardware),
            driver: None,
            device: None,
            mac: None,
            permanent_mac: None,
            has_hardware_address: false,
            master: None,
            lower: None,
            state: State::of_flags(number(&header[8..])?),
            mtu: 0,
            addresses: Vec::new(),
            ipv6_off: None,
        },
        master: None,
        lower: None,
    };
    let mut is_elsewhere = false;
    // what is not Ethernet has an "address" that is no MAC: four bytes of a tunnel's end, or sixteen
    let mac = |value: &[u8]| (hardware == sysfs::ARPHRD_ETHER).then(|| Mac::of(value)).flatten();
    for (kind, value) in attributes(rest) {
        match kind {
            IFLA_ADDRESS => {
                found.link.has_hardware_address = !value.is_empty();
                found.link.mac = mac(value);
            }
            IFLA_IFNAME => found.link.name = text(value),
            IFLA_MTU => found.link.mtu = number(value).unwrap_or(0),
            IFLA_LINK => found.lower = number(value).filter(|&lower| lower != index && lower != 0),
            IFLA_MASTER => found.master = number(value),
            IFLA_LINKINFO => {
                if let Some(kind) = kind_of(value) {
                    found.link.kind = kind;
                }
            }
            IFLA_AF_SPEC => found.link.ipv6_off = Some(is_ipv6_off(value)),
            IFLA_LINK_NETNSID => is_elsewhere = true,
            IFLA_PERM_ADDRESS => found.link.permanent_mac = mac(value),
            _ => {}
        }
    }
    // the number of a link in another namespace, or of the pair's other end, is not what this one stands on
    if is_elsewhere || found.link.kind == Kind::VETH {
        found.lower = None;
    }
    Some(found)
}

fn kind_of(info: &[u8]) -> Option<Kind> {
    const IFLA_INFO_KIND: u16 = 1;
    const IFLA_INFO_DATA: u16 = 2;
    const IFLA_TUN_TYPE: u16 = 3;
    const IFF_TAP: u8 = 2;
    let word = text(attribute(info, IFLA_INFO_KIND)?);
    if word != "tun" {
        return Some(Kind::named(&word));
    }
    // Linux 4.18 and later; before it a tap is told by its Ethernet address
    let tun_type = attribute(info, IFLA_INFO_DATA).and_then(|data| attribute(data, IFLA_TUN_TYPE));
    Some(if tun_type == Some(&[IFF_TAP]) { Kind::TAP } else { Kind::TUN })
}

/// Whether IPv6 is off on a link: its own switch, or no IPv6 on it at all.
fn is_ipv6_off(af_spec: &[u8]) -> bool {
    const AF_INET6: u16 = 10;
    const IFLA_INET6_CONF: u16 = 2;
    const DEVCONF_DISABLE_IPV6: usize = 26;
    let Some(inet6) = attribute(af_spec, AF_INET6) else { return true };
    let switches = attribute(inet6, IFLA_INET6_CONF).unwrap_or_default();
    switches.get(DEVCONF_DISABLE_IPV6 * 4..).and_then(number).is_some_and(|off| off != 0)
}

fn address(message: &[u8]) -> Option<(u32, IpNet)> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    // struct ifaddrmsg: family, prefix length, flags, scope, index
    let (header, rest) = message.split_at_checked(8)?;
    // on a point-to-point link IFA_ADDRESS is the other end's
    let value = attribute(rest, IFA_LOCAL).or_else(|| attribute(rest, IFA_ADDRESS))?;
    Some((number(&header[4..])?, IpNet::new(ip(value)?, header[1]).ok()?))
}

fn neighbour(message: &[u8]) -> Option<Neighbour> {
    const NDA_DST: u16 = 1;
    // NUD_REACHABLE, STALE, DELAY, NOARP, PERMANENT; while it is asked again (PROBE) it is not known
    const KNOWN: u16 = 0x02 | 0x04 | 0x08 | 0x40 | 0x80;
    // struct ndmsg: family, pad, index, state, flags, type
    let (header, rest) = message.split_at_checked(12)?;
    let state = u16::from_ne_bytes([header[8], header[9]]);
    let address = ip(attribute(rest, NDA_DST)?)?;
    Some(Neighbour { index: number(&header[4..])?, address, is_known: state & KNOWN != 0 })
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).filter_map(|attribute| {
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        Some((kind, attribute.into_inner().get(NLA_HEADER_SIZE..length)?))
    })
}

fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_kernel_lists_the_loopback_link() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((lo.kind.word(), lo.mac, lo.lower.as_deref()), ("loopback", None, None));
        assert!(lo.has_hardware_address);
    }

    #[test]
    fn a_request_that_the_kernel_refuses_is_an_error_with_its_reason() {
        // no such message
        let error = dump(0xfff0, &[], RTM_NEWLINK, link).err().unwrap();
        assert!(format!("{error:#}").contains("the kernel refuses"), "{error:#}");
    }

    proptest! {
        #[test]
        fn any_message_is_a_link_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (link(&bytes), address(&bytes), neighbour(&bytes), refusal(&bytes));
        }
    }
}
