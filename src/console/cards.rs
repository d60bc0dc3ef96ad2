//! The box's network cards, and the addresses at which its page is called.
//!
//! Facts: getifaddrs(3), which asks over netlink and lists cards without an address as well; netdevice(7): `IFF_RUNNING` means that
//! there is a cable with something at its other end.

use std::net::{IpAddr, SocketAddr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

use crate::net::outward;

/// No box has more cards, nor a card more addresses that anybody wants to read.
const MOST: usize = 16;
/// HTTPS, which an address need not name (RFC 9110, 4.2.2).
const HTTPS: u16 = 443;

/// A network card as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) name: String,
    /// Its addresses, with the length of their networks; those that hold on its own cable only are left out.
    pub(super) addresses: Vec<(IpAddr, u32)>,
    pub(super) has_link: bool,
}

impl Card {
    /// Its addresses as people write them.
    pub(super) fn addresses(&self) -> Vec<String> {
        self.addresses.iter().map(|(ip, length)| format!("{ip}/{length}")).collect()
    }
}

/// The cards, by their names; none where the system does not say.
pub(super) fn cards() -> Vec<Card> {
    let mut cards: Vec<Card> = Vec::new();
    for entry in getifaddrs().into_iter().flatten().filter(|entry| !entry.flags.contains(InterfaceFlags::IFF_LOOPBACK))
    {
        let at = cards.iter().position(|card| card.name == entry.interface_name).unwrap_or(cards.len());
        if at == cards.len() && at < MOST {
            let has_link = entry.flags.contains(InterfaceFlags::IFF_RUNNING);
            cards.push(Card { name: entry.interface_name.clone(), addresses: Vec::new(), has_link });
        }
        if let Some(card) = cards.get_mut(at).filter(|card| card.addresses.len() < MOST) {
            card.addresses.extend(address(&entry));
        }
    }
    cards.sort_by(|one, other| one.name.cmp(&other.name));
    cards
}

fn address(entry: &InterfaceAddress) -> Option<(IpAddr, u32)> {
    let ip = ip(entry.address.as_ref()?)?;
    let is_of_the_cable = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let length = match ip_of_mask(entry, ip)? {
        IpAddr::V4(mask) => mask.to_bits().count_ones(),
        IpAddr::V6(mask) => mask.to_bits().count_ones(),
    };
    (!is_of_the_cable).then_some((ip, length))
}

fn ip_of_mask(entry: &InterfaceAddress, address: IpAddr) -> Option<IpAddr> {
    let all = |ip: IpAddr| match ip {
        IpAddr::V4(_) => IpAddr::from([0xff; 4]),
        IpAddr::V6(_) => IpAddr::from([0xff; 16]),
    };
    // A card at one end of a line between two has none.
    entry.netmask.as_ref().map_or_else(|| Some(all(address)), ip)
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let four = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
}

/// The addresses of a page that listens on these, for a browser; the likeliest to be reached first.
pub(super) fn pages(listen: &[SocketAddr], cards: &[Card]) -> Vec<String> {
    pages_of(listen, &outward().collect::<Vec<_>>(), cards)
}

fn pages_of(listen: &[SocketAddr], outward: &[IpAddr], cards: &[Card]) -> Vec<String> {
    let named = listen.iter().filter(|listen| !listen.ip().is_unspecified()).copied();
    let of_cards = cards.iter().flat_map(|card| card.addresses.iter().map(|(ip, _)| ip));
    let any = outward.iter().chain(of_cards).flat_map(|ip| {
        let fits = |listen: &&SocketAddr| listen.ip().is_unspecified() && listen.is_ipv4() == ip.is_ipv4();
        listen.iter().filter(fits).map(|listen| SocketAddr::new(*ip, listen.port()))
    });
    let mut pages: Vec<String> = Vec::new();
    for page in named.chain(any).map(url) {
        if !pages.contains(&page) && pages.len() < MOST {
            pages.push(page);
        }
    }
    pages
}

fn url(page: SocketAddr) -> String {
    match (page.port(), page.ip()) {
        (HTTPS, IpAddr::V4(ip)) => format!("https://{ip}/"),
        (HTTPS, IpAddr::V6(ip)) => format!("https://[{ip}]/"),
        _ => format!("https://{page}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, addresses: &[&str]) -> Card {
        let address = |text: &&str| (text.parse().unwrap(), 24);
        Card { name: name.to_owned(), addresses: addresses.iter().map(address).collect(), has_link: true }
    }

    #[test]
    fn the_page_is_called_at_the_address_that_leads_out_or_else_at_any() {
        let all = ["0.0.0.0:443", "[::]:443"].map(|text| text.parse().unwrap());
        let cards = [card("eth0", &["198.51.100.7"]), card("eth1", &["192.0.2.10", "2001:db8::10"])];
        let outward = ["192.0.2.10", "2001:db8::10"].map(|text| text.parse().unwrap());
        let pages = |listen: &[SocketAddr], outward: &[IpAddr]| pages_of(listen, outward, &cards);
        assert_eq!(pages(&all, &outward), ["https://192.0.2.10/", "https://[2001:db8::10]/", "https://198.51.100.7/"]);
        assert_eq!(pages(&all[..1], &[]), ["https://198.51.100.7/", "https://192.0.2.10/"], "there is no way out");
        let named = ["192.0.2.10:8443", "[2001:db8::10]:8443"].map(|text| text.parse().unwrap());
        assert_eq!(pages(&named, &outward), ["https://192.0.2.10:8443/", "https://[2001:db8::10]:8443/"]);
        assert_eq!(pages(&[], &outward), [] as [String; 0]);
    }

    #[test]
    fn the_cards_of_this_machine_are_listed_without_its_loopback() {
        for card in cards() {
            assert!(card.name != "lo" && card.addresses.iter().all(|(ip, length)| !ip.is_loopback() && *length > 0));
        }
    }
}
