//! What the lights show: health in, on and off over time out. Pure.
//!
//! A technician must be able to tell the states apart from two metres and count blinks without a watch, so there is one step
//! of 250 ms, and nothing is shorter:
//!
//! ```text
//! power     steady: the box works      slow (1 s, 1 s): it starts                 dark: it does not run
//!           winks (dark for 250 ms every 2 s): an update is installed, leave the power on
//!           flashes (lit for 250 ms every 2 s): nobody has claimed the box on its page
//!           quick (250 ms): the enrolment file on a USB stick is being tried, leave the stick in
//!           twinkles (two blinks, lit for a second): the file was taken, the stick can go
//! network   steady: a cable has link                                              dark: none has
//! gateway   steady: every gateway ok   quick (250 ms): one has trouble            dark: none takes events
//!           winks: as steady, and events go out
//! fault     dark: nothing is wrong     n blinks, 1.5 s pause: see below
//!
//! blinks    2 no network   3 disk or queue   4 gateway   5 a source   6 the box itself (page, control socket, settings)
//!           7 the enrolment file on a USB stick was not taken
//! ```
//!
//! Of several faults the lowest number is shown: it is the one to mend first, because it may be the cause of the others. Only the
//! seventh goes before all, for as long as somebody stands there with the stick. One
//! blink is no code: it cannot be told from a light that came on by itself. A board without a light for faults shows the
//! codes on its power light, before the wish to be claimed and after the warning to leave the power on.

use crate::status::{Component, Count, Gauge, Health, Line, NETWORK, Snapshot, Stick};

use super::profile::Role;

/// Every on and off is a multiple of this many milliseconds.
pub(super) const STEP_MS: u64 = 250;
/// Steps of light and of dark in a slow blink.
const SLOW: u64 = 4;
/// Steps from one wink or flash to the next.
const APART: u64 = 8;
/// Steps of dark after the blinks of a code.
const PAUSE: u64 = 6;

/// What one light does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Dark.
    Off,
    /// Lit.
    On,
    /// One second on, one off.
    Slow,
    /// As fast as can still be seen well.
    Quick,
    /// Lit, with a short dark now and then.
    Wink,
    /// Dark, with a short light now and then.
    Flash,
    /// Two short blinks, then lit for a second.
    Twinkle,
    /// This many blinks, then a pause.
    Code(Trouble),
}

/// What is wrong, by the number of blinks; the lowest is mended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// No cable has link.
    Network = 2,
    /// The queue or its disk.
    Queue = 3,
    /// A gateway.
    Gateway = 4,
    /// A source.
    Source = 5,
    /// The box itself.
    Box = 6,
    /// The enrolment file on a stick.
    Stick = 7,
}

impl Pattern {
    /// Whether the light is on in this step; steps count from any moment on.
    pub(super) fn is_lit(self, step: u64) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::Slow => step % (2 * SLOW) < SLOW,
            Self::Quick => step.is_multiple_of(2),
            Self::Wink => !step.is_multiple_of(APART),
            Self::Flash => step.is_multiple_of(APART),
            Self::Twinkle => !matches!(step % APART, 1 | 3),
            Self::Code(trouble) => {
                let blinking = 2 * trouble as u64;
                let at = step % (blinking + PAUSE);
                at < blinking && at.is_multiple_of(2)
            }
        }
    }
}

/// What there is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mood {
    power: Power,
    link: bool,
    gateway: Pattern,
    trouble: Option<Trouble>,
    /// Events that left since the program started.
    delivered: u64,
}

/// How the program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    Starts,
    Runs,
    Unclaimed,
    Installs,
    ReadsStick,
    TookStick,
    Silent,
}

impl Mood {
    /// The program has not said anything yet.
    pub(super) fn starting() -> Self {
        Self { power: Power::Starts, link: false, gateway: Pattern::Off, trouble: None, delivered: 0 }
    }

    /// The program says nothing any more.
    pub(super) fn silent(link: bool) -> Self {
        let trouble = if link { Trouble::Box } else { Trouble::Network };
        Self { power: Power::Silent, link, gateway: Pattern::Off, trouble: Some(trouble), delivered: 0 }
    }

    /// Reads the status; `link` says whether a cable is in, `broken` that a light of the board is missing, `before` what was
    /// read a moment ago.
    pub(super) fn of(snapshot: &Snapshot, link: bool, broken: bool, before: &Self) -> Self {
        let is = |line: &Health| matches!(line, Health::Degraded(_) | Health::Failed(_));
        let of_kind = |kind: Component| snapshot.components.iter().filter(move |line| line.component == kind);
        // Nobody expects anything of what is paused.
        let outputs =
            || of_kind(Component::Output).map(|line| &line.health).filter(|health| **health != Health::Paused);
        let stick = snapshot.stick();
        let is_network = |line: &Line| line.id == NETWORK;
        // These have codes of their own.
        let is_sticks = |line: &Line| line.id == Stick::LINE;
        let own =
            || of_kind(Component::Box).filter(|line| is(&line.health) && !line.waits_for_claim() && !is_sticks(line));
        let trouble = [
            (stick == Some(Stick::Refused), Trouble::Stick),
            (!link || own().any(is_network), Trouble::Network),
            (of_kind(Component::Queue).any(|line| is(&line.health)), Trouble::Queue),
            (outputs().any(is), Trouble::Gateway),
            (of_kind(Component::Source).any(|line| is(&line.health)), Trouble::Source),
            (broken || own().any(|line| !is_network(line)), Trouble::Box),
        ];
        let delivered = of_kind(Component::Output).map(|line| line.count(Count::DeliveredEvents)).sum();
        let gateway = if outputs().all(|health| *health == Health::Healthy) && outputs().next().is_some() {
            // A program that started anew counts from zero.
            if delivered > before.delivered && before.delivered > 0 { Pattern::Wink } else { Pattern::On }
        } else if outputs().any(|health| matches!(health, Health::Healthy | Health::Degraded(_))) {
            Pattern::Quick
        } else {
            Pattern::Off
        };
        let is_set = |gauge: Gauge| of_kind(Component::Box).any(|line| line.gauge(gauge) > 0);
        let starts = snapshot.components.iter().any(|line| line.health == Health::Starting);
        let power = [
            (is_set(Gauge::Installing), Power::Installs),
            (stick == Some(Stick::Read), Power::ReadsStick),
            (stick == Some(Stick::Taken), Power::TookStick),
            (starts, Power::Starts),
            (is_set(Gauge::Unclaimed), Power::Unclaimed),
        ];
        Self {
            power: power.into_iter().find_map(|(is_so, power)| is_so.then_some(power)).unwrap_or(Power::Runs),
            link,
            gateway,
            trouble: trouble.into_iter().find_map(|(is_so, trouble)| is_so.then_some(trouble)),
            delivered,
        }
    }

    /// What the light with this role does; `speaks` says that the board has a light for faults.
    pub(super) fn pattern(&self, role: Role, speaks: bool) -> Pattern {
        let code = self.trouble.map(Pattern::Code);
        match role {
            Role::Power => {
                let codes = code.filter(|_| !speaks);
                match self.power {
                    Power::Installs => Pattern::Wink,
                    Power::ReadsStick => Pattern::Quick,
                    Power::TookStick => Pattern::Twinkle,
                    Power::Starts => Pattern::Slow,
                    Power::Unclaimed => codes.unwrap_or(Pattern::Flash),
                    Power::Runs => codes.unwrap_or(Pattern::On),
                    Power::Silent => codes.unwrap_or(Pattern::Off),
                }
            }
            Role::Network if self.link => Pattern::On,
            Role::Network => Pattern::Off,
            Role::Gateway => self.gateway,
            Role::Fault => code.unwrap_or(Pattern::Off),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::status::Board;

    fn drawn(pattern: Pattern, steps: u64) -> String {
        (0..steps).map(|step| if pattern.is_lit(step) { '#' } else { '.' }).collect()
    }

    #[test]
    fn patterns_are_drawn_as_they_are_seen() {
        assert_eq!(drawn(Pattern::Off, 8), "........");
        assert_eq!(drawn(Pattern::On, 8), "########");
        assert_eq!(drawn(Pattern::Slow, 16), "####....####....");
        assert_eq!(drawn(Pattern::Quick, 8), "#.#.#.#.");
        assert_eq!(drawn(Pattern::Wink, 10), ".#######.#");
        assert_eq!(drawn(Pattern::Flash, 10), "#.......#.");
        assert_eq!(drawn(Pattern::Twinkle, 16), "#.#.#####.#.####");
        assert_eq!(drawn(Pattern::Code(Trouble::Network), 20), "#.#.......#.#.......");
        assert_eq!(drawn(Pattern::Code(Trouble::Queue), 12), "#.#.#.......");
        assert_eq!(drawn(Pattern::Code(Trouble::Gateway), 14), "#.#.#.#.......");
        assert_eq!(drawn(Pattern::Code(Trouble::Source), 16), "#.#.#.#.#.......");
        assert_eq!(drawn(Pattern::Code(Trouble::Box), 18), "#.#.#.#.#.#.......");
    }

    #[test]
    fn no_two_patterns_look_alike() {
        let troubles =
            [Trouble::Network, Trouble::Queue, Trouble::Gateway, Trouble::Source, Trouble::Box, Trouble::Stick];
        let codes = troubles.map(Pattern::Code);
        let plain = [Pattern::Off, Pattern::On, Pattern::Slow, Pattern::Quick, Pattern::Wink, Pattern::Flash];
        let plain = plain.into_iter().chain([Pattern::Twinkle]);
        let all = plain.chain(codes);
        let drawings: std::collections::BTreeSet<String> = all.map(|pattern| drawn(pattern, 720)).collect();
        assert_eq!(drawings.len(), 13);
    }

    /// A board with one of each, all well.
    fn well() -> Board {
        let board = Board::new(Clock::System);
        for kind in [Component::Source, Component::Queue, Component::Output, Component::Box] {
            board.handle(kind, "one").set(Health::Healthy);
        }
        board
    }

    fn shown(board: &Board, link: bool, speaks: bool) -> [Pattern; 4] {
        let mood = Mood::of(&board.snapshot(), link, false, &Mood::starting());
        [Role::Power, Role::Network, Role::Gateway, Role::Fault].map(|role| mood.pattern(role, speaks))
    }

    #[test]
    fn a_box_that_is_well_is_steady() {
        assert_eq!(shown(&well(), true, true), [Pattern::On, Pattern::On, Pattern::On, Pattern::Off]);
    }

    #[test]
    fn a_start_is_seen() {
        let board = well();
        board.handle(Component::Source, "two").set(Health::Starting);
        assert_eq!(shown(&board, true, true)[0], Pattern::Slow);
        assert_eq!(shown(&board, true, false)[0], Pattern::Slow);
    }

    #[test]
    fn a_box_that_nobody_has_claimed_flashes_and_one_that_is_updated_winks() {
        let board = well();
        let page = board.handle(Component::Box, "page");
        page.set(Health::degraded("nobody has claimed this box", "claim it"));
        page.counters().set(Gauge::Unclaimed, 1);
        assert_eq!([shown(&board, true, true)[0], shown(&board, true, false)[0]], [Pattern::Flash, Pattern::Flash]);
        board.handle(Component::Output, "one").set(Health::failed("x", "y"));
        let [with, without] = [shown(&board, true, true)[0], shown(&board, true, false)[0]];
        assert_eq!(
            [with, without],
            [Pattern::Flash, Pattern::Code(Trouble::Gateway)],
            "a fault is to be seen on each board"
        );
        board.handle(Component::Box, "update").counters().set(Gauge::Installing, 1);
        assert_eq!([shown(&board, true, true)[0], shown(&board, true, false)[0]], [Pattern::Wink, Pattern::Wink]);
    }

    #[test]
    fn whoever_plugs_in_a_stick_sees_what_became_of_its_file() {
        let board = well();
        board.handle(Component::Output, "one").set(Health::failed("x", "y"));
        let stick = board.handle(Component::Box, Stick::LINE);
        let shows = |state: Stick, health: Health| {
            stick.counters().set(Gauge::Stick, state.gauge());
            stick.set(health);
            [(0, true), (3, true), (0, false)].map(|(light, speaks)| shown(&board, true, speaks)[light])
        };
        let gateway = Pattern::Code(Trouble::Gateway);
        assert_eq!(shows(Stick::Read, Health::Healthy), [Pattern::Quick, gateway, Pattern::Quick]);
        assert_eq!(shows(Stick::Taken, Health::Healthy), [Pattern::Twinkle, gateway, Pattern::Twinkle]);
        let refused = Pattern::Code(Trouble::Stick);
        assert_eq!(shows(Stick::Refused, Health::degraded("x", "y")), [Pattern::On, refused, refused]);
        board.remove(Component::Box, Stick::LINE);
        assert_eq!(shown(&board, true, true)[3], gateway, "and then the lights are as before");
    }

    #[test]
    fn the_gateways_light_winks_while_events_go_out() {
        let board = well();
        let output = board.handle(Component::Output, "one");
        let mut mood = Mood::starting();
        let mut shown = |by: u64| {
            output.counters().add(Count::DeliveredEvents, by);
            mood = Mood::of(&board.snapshot(), true, false, &mood);
            mood.pattern(Role::Gateway, true)
        };
        assert_eq!([shown(5), shown(1), shown(0), shown(9)], [Pattern::On, Pattern::Wink, Pattern::On, Pattern::Wink]);
    }

    #[test]
    fn a_program_that_says_nothing_is_dark_and_a_fault() {
        let shown = |link, speaks| {
            [Role::Power, Role::Gateway, Role::Fault].map(|role| Mood::silent(link).pattern(role, speaks))
        };
        assert_eq!(shown(true, true), [Pattern::Off, Pattern::Off, Pattern::Code(Trouble::Box)]);
        assert_eq!(shown(true, false)[0], Pattern::Code(Trouble::Box));
        assert_eq!(shown(false, true)[2], Pattern::Code(Trouble::Network));
        assert_eq!(Mood::starting().pattern(Role::Power, false), Pattern::Slow);
    }

    #[test]
    fn every_fault_has_its_code_and_the_first_to_mend_is_shown() {
        let board = well();
        let kinds = [
            (Component::Box, Trouble::Box),
            (Component::Source, Trouble::Source),
            (Component::Output, Trouble::Gateway),
            (Component::Queue, Trouble::Queue),
        ];
        for (kind, trouble) in kinds {
            board.handle(kind, "two").set(Health::degraded("x", "y"));
            assert_eq!(shown(&board, true, true)[3], Pattern::Code(trouble));
            assert_eq!(shown(&board, true, true)[0], Pattern::On, "the power light of a board that has one for faults");
            assert_eq!(shown(&board, true, false)[0], Pattern::Code(trouble), "and of one that has none");
        }
        let network = board.handle(Component::Box, NETWORK);
        network.set(Health::degraded("the card eth1 has no cable", "put one in"));
        assert_eq!(shown(&board, true, true)[3], Pattern::Code(Trouble::Network), "one of two cables is out");
        network.set(Health::Healthy);
        assert_eq!(shown(&board, false, true)[1..], [Pattern::Off, Pattern::Quick, Pattern::Code(Trouble::Network)]);
    }

    #[test]
    fn the_gateways_light_tells_some_from_none() {
        let board = well();
        board.handle(Component::Output, "one").set(Health::failed("x", "y"));
        assert_eq!(shown(&board, true, true)[2], Pattern::Off);
        board.handle(Component::Output, "two").set(Health::Healthy);
        assert_eq!(shown(&board, true, true)[2], Pattern::Quick);
        board.remove(Component::Output, "one");
        assert_eq!(shown(&board, true, true)[2], Pattern::On);
        board.remove(Component::Output, "two");
        assert_eq!(shown(&board, true, true)[2], Pattern::Off, "no gateway is set up");
    }
}
