//! RAUC over D-Bus: the only file that names it.
//!
//! Everything is called what RAUC calls it. Facts: `de.pengutronix.rauc.Installer.xml` of RAUC 1.8 and 1.13. `InspectBundle`
//! came with 1.9; before, `Info` fails without a word of why, and only `LastError` after a try to install tells. RAUC starts
//! by D-Bus activation, and ends by itself when it is idle. `Completed` is the only sign that an install ended: RAUC that
//! was killed is `idle` with an empty `LastError` afterwards, as after a good install.

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use zbus::export::futures_core::Stream;
use zbus::{OwnedVariant, Variant};

use super::error::RaucError;

/// Where the system bus is if nothing else is said. The specification's older place is below /var, which may not be there yet.
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
/// Looking at states, or writing one to the boot loader's environment: a second on slow flash.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Checking a bundle reads and hashes all of it where its format is plain.
const INSPECT_WITHIN: Duration = Duration::from_secs(300);
/// How often progress is asked for.
const LOOK: Duration = Duration::from_millis(500);
/// An install whose progress stands still for this long hangs: RAUC says nothing while one image is copied, and the largest
/// (400 MB) takes 80 s on flash that writes 5 MB a second.
const STUCK_AFTER: Duration = Duration::from_secs(900);

/// The proxy that the macro writes.
mod bus {
    #![allow(missing_docs, reason = "written by a macro; the words are RAUC's")]
    use super::{HashMap, OwnedVariant, Variant};

    #[zbus::proxy(
        interface = "de.pengutronix.rauc.Installer",
        default_service = "de.pengutronix.rauc",
        default_path = "/"
    )]
    pub trait Installer {
        fn install_bundle(&self, source: &str, args: HashMap<&str, Variant<'_>>) -> zbus::Result<()>;
        fn inspect_bundle(
            &self,
            source: &str,
            args: HashMap<&str, Variant<'_>>,
        ) -> zbus::Result<HashMap<String, OwnedVariant>>;
        fn info(&self, bundle: &str) -> zbus::Result<(String, String)>;
        fn mark(&self, state: &str, slot_identifier: &str) -> zbus::Result<(String, String)>;
        fn get_slot_status(&self) -> zbus::Result<Vec<(String, HashMap<String, OwnedVariant>)>>;
        #[zbus(property)]
        fn operation(&self) -> zbus::Result<String>;
        #[zbus(property)]
        fn last_error(&self) -> zbus::Result<String>;
        #[zbus(property)]
        fn progress(&self) -> zbus::Result<(i32, String, i32)>;
        #[zbus(property)]
        fn compatible(&self) -> zbus::Result<String>;
        #[zbus(signal)]
        fn completed(&self, result: i32) -> zbus::Result<()>;
    }
}

/// One slot, as RAUC shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Such as `rootfs.0`.
    pub name: String,
    /// The name the boot loader knows it by, such as `A`; empty where it boots none.
    pub bootname: String,
    /// `booted`, `active` or `inactive`.
    pub state: String,
    /// `good` or `bad`; empty where the boot loader boots it not.
    pub boot_status: String,
    /// The version of the bundle that was installed there last, if RAUC knows.
    pub version: Option<String>,
}

impl Slot {
    /// Whether the box runs from it.
    #[must_use]
    pub fn is_booted(&self) -> bool {
        self.state == "booted" && !self.bootname.is_empty()
    }
}

/// What a bundle says of itself; its signature was good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) compatible: String,
    pub(super) version: String,
}

/// What a slot is marked as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Good,
    Bad,
    /// To be booted next.
    Active,
}

/// A connection to RAUC.
#[derive(Clone, Debug)]
pub(super) struct Rauc {
    installer: bus::InstallerProxy<'static>,
}

impl Rauc {
    /// Connects to the system bus and asks RAUC, which the bus may have to start, what this box is compatible with.
    pub(super) async fn connect() -> Result<(Self, String), RaucError> {
        let made = async {
            let builder = match std::env::var_os("DBUS_SYSTEM_BUS_ADDRESS") {
                Some(_) => zbus::connection::Builder::system(),
                None => zbus::connection::Builder::address(SYSTEM_BUS),
            };
            let connection = builder.method_timeout(INSPECT_WITHIN).build().await?;
            let builder = bus::InstallerProxy::builder(&connection);
            builder.cache_properties(zbus::proxy::CacheProperties::No).build().await
        };
        let installer = match timeout(ANSWER_WITHIN, made).await {
            Ok(Ok(installer)) => installer,
            Ok(Err(error)) => return Err(RaucError::NotThere(error.to_string())),
            Err(_) => return Err(RaucError::Hangs("the system bus")),
        };
        let compatible = in_time("rauc", ANSWER_WITHIN, installer.compatible()).await?;
        Ok((Self { installer }, compatible))
    }

    pub(super) async fn slots(&self) -> Result<Vec<Slot>, RaucError> {
        let found = in_time("rauc's slot status", ANSWER_WITHIN, self.installer.get_slot_status()).await?;
        let slot = |(name, status): (String, HashMap<String, OwnedVariant>)| {
            let text = |key: &str| status.get(key).and_then(|value| String::try_from(value.clone()).ok());
            let or_empty = |key: &str| text(key).unwrap_or_default();
            Slot {
                name,
                bootname: or_empty("bootname"),
                state: or_empty("state"),
                boot_status: or_empty("boot-status"),
                version: text("bundle.version").filter(|version| !version.is_empty()),
            }
        };
        let mut slots: Vec<Slot> = found.into_iter().map(slot).collect();
        slots.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(slots)
    }

    /// Checks the bundle's signature and reads what it is. `None` where RAUC refuses it without saying why (before 1.9).
    pub(super) async fn inspect(&self, bundle: &Path) -> Result<Option<Bundle>, RaucError> {
        let path = bundle.to_string_lossy();
        let asked = self.installer.inspect_bundle(&path, HashMap::new());
        match in_time("rauc's check of the bundle", INSPECT_WITHIN, asked).await {
            Ok(info) => Ok(Some(bundle_of(&info))),
            Err(RaucError::Unknown) => {
                match in_time("rauc's check of the bundle", INSPECT_WITHIN, self.installer.info(&path)).await {
                    Ok((compatible, version)) => Ok(Some(Bundle { compatible, version })),
                    Err(RaucError::Said(_)) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether RAUC is at work, for whomever.
    pub(super) async fn is_busy(&self) -> Result<bool, RaucError> {
        let operation = in_time("rauc", ANSWER_WITHIN, self.installer.operation()).await?;
        Ok(operation != "idle")
    }

    /// Installs a bundle into the slots that are not booted and makes them the next to be booted.
    ///
    /// # Cancel safety
    /// When it is dropped, RAUC goes on by itself.
    pub(super) async fn install(&self, bundle: &Path, progress: impl FnMut(u8, &str)) -> Result<(), RaucError> {
        let mut completed = self.listen().await?;
        let path = bundle.to_string_lossy();
        let started = self.installer.install_bundle(&path, HashMap::new());
        in_time("rauc's install", ANSWER_WITHIN, started).await?;
        self.follow(&mut completed, progress).await
    }

    async fn listen(&self) -> Result<bus::CompletedStream, RaucError> {
        in_time("rauc", ANSWER_WITHIN, self.installer.receive_completed()).await
    }

    async fn follow(
        &self,
        completed: &mut bus::CompletedStream,
        mut progress: impl FnMut(u8, &str),
    ) -> Result<(), RaucError> {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut moved) = ((0, String::new()), Instant::now());
        let mut is_over = false;
        loop {
            tokio::select! {
                biased;
                signal = poll_fn(|context| Pin::new(&mut *completed).poll_next(context)) => {
                    let Some(signal) = signal else { return Err(RaucError::Vanished) };
                    return match signal.args() {
                        Ok(args) if args.result == 0 => Ok(()),
                        _ => Err(self.why().await),
                    };
                }
                _ = tick.tick() => {}
            }
            // The signal was sent before the operation became idle. If it is not here by now, another RAUC answers.
            if is_over {
                return Err(RaucError::Vanished);
            }
            let (percent, step, _) = in_time("rauc", ANSWER_WITHIN, self.installer.progress()).await?;
            let now = (u8::try_from(percent.clamp(0, 100)).unwrap_or(0), step);
            if now != last {
                progress(now.0, &now.1);
                (last, moved) = (now, Instant::now());
            }
            is_over = !self.is_busy().await?;
            if moved.elapsed() >= STUCK_AFTER {
                return Err(RaucError::Hangs("rauc's install"));
            }
        }
    }

    async fn why(&self) -> RaucError {
        match in_time("rauc", ANSWER_WITHIN, self.installer.last_error()).await {
            Ok(text) => RaucError::Said(text),
            Err(error) => error,
        }
    }

    /// Marks the booted slot, or the one with this name.
    pub(super) async fn mark(&self, mark: Mark, slot: &str) -> Result<String, RaucError> {
        let word = match mark {
            Mark::Good => "good",
            Mark::Bad => "bad",
            Mark::Active => "active",
        };
        let (_, message) = in_time("rauc's mark", ANSWER_WITHIN, self.installer.mark(word, slot)).await?;
        Ok(message)
    }
}

/// `update` holds `compatible` and `version`, inside one variant more than one would think (`r_manifest_to_dict`).
fn bundle_of(info: &HashMap<String, OwnedVariant>) -> Bundle {
    let update = info.get("update").map(|update| match &**update {
        Variant::Variant(inner) => inner.try_clone(),
        other => other.try_clone(),
    });
    let update = update.and_then(|update| HashMap::<String, OwnedVariant>::try_from(update.ok()?).ok());
    let text = |key: &str| {
        let found = update.as_ref().and_then(|update| update.get(key));
        found.and_then(|value| String::try_from(value.clone()).ok()).unwrap_or_default()
    };
    Bundle { compatible: text("compatible"), version: text("version") }
}

async fn in_time<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = zbus::Result<T>>,
) -> Result<T, RaucError> {
    match timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(RaucError::of(error)),
        Err(_) => Err(RaucError::Hangs(what)),
    }
}
