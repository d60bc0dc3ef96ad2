//! What to type into a device, with the box's address filled in.

/// What to type into a device. `{address}` stands for the box's address, `{udp}`, `{tcp}` and `{tls}` for its ports, `{user}` for the
/// device's name; a guide is shown where all that it names is there.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// The device.
    pub title: &'static str,
    /// Where in it.
    pub place: &'static str,
    /// Its fields and what to type.
    pub rows: &'static [(&'static str, &'static str)],
    /// A text to paste, in place of fields.
    pub text: &'static str,
}

/// What stands for the placeholders of a guide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The box's address.
    pub address: String,
    /// The first port of each kind.
    pub udp: Option<u16>,
    /// See `udp`.
    pub tcp: Option<u16>,
    /// See `udp`.
    pub tls: Option<u16>,
    /// The device's name.
    pub user: String,
}

/// A guide with everything filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// See [`Guide::title`].
    pub title: &'static str,
    /// See [`Guide::place`].
    pub place: String,
    /// See [`Guide::rows`].
    pub rows: Vec<(&'static str, String)>,
    /// See [`Guide::text`].
    pub text: String,
}

impl Guide {
    /// What to type for this place; nothing where the guide is about something that is not there.
    #[must_use]
    pub fn fill(&self, place: &Place) -> Option<Filled> {
        let rows: Option<Vec<_>> = self.rows.iter().map(|(field, value)| Some((*field, fill(value, place)?))).collect();
        Some(Filled { title: self.title, place: fill(self.place, place)?, rows: rows?, text: fill(self.text, place)? })
    }
}

fn fill(text: &str, place: &Place) -> Option<String> {
    let mut filled = text.to_owned();
    let port = |port: Option<u16>| port.map(|port| port.to_string());
    for (name, value) in [
        ("{address}", Some(place.address.clone())),
        ("{user}", Some(place.user.clone())),
        ("{udp}", port(place.udp)),
        ("{tcp}", port(place.tcp)),
        ("{tls}", port(place.tls)),
    ] {
        if filled.contains(name) {
            filled = filled.replace(name, &value?);
        }
    }
    Some(filled)
}
