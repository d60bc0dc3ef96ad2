//! Which board this is: what the machine says of itself, held against the profiles.
//!
//! Facts: the kernel shows the firmware's DMI tables in `/sys/class/dmi/id` (Documentation/ABI/testing/sysfs-class-dmi), where
//! the fields that name a model may be read by everybody, and the device tree in `/sys/firmware/devicetree/base`; `compatible`
//! there holds words that end with a zero byte each, the most exact first (Devicetree Specification 0.4, 2.3.1).
//! `/proc/device-tree` is not asked: the program's sandbox hides it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::profile::{Arch, Dmi, Match, Profile};

/// The settings' word for "find out".
pub(super) const AUTO: &str = "auto";
/// Far more than any of these files holds.
const LONGEST: u64 = 4096;

/// What a machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Machine {
    dmi: Dmi,
    compatible: Vec<String>,
}

impl Machine {
    /// Asks the kernel; `sys` is where its sysfs is. What it does not say stays empty.
    pub(super) fn read(sys: &Path) -> Self {
        let dmi = |name: &str| {
            let text = read(&sys.join("class/dmi/id").join(name))?;
            // Makers pad with blanks.
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let compatible = read(&sys.join("firmware/devicetree/base/compatible")).unwrap_or_default();
        Self {
            dmi: Dmi {
                sys_vendor: dmi("sys_vendor"),
                product_name: dmi("product_name"),
                board_vendor: dmi("board_vendor"),
                board_name: dmi("board_name"),
            },
            compatible: compatible.split('\0').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        }
    }

    fn is(&self, matches: &Match) -> bool {
        matches.dmi.iter().any(|wanted| self.has(wanted))
            || matches.device_tree.iter().any(|word| self.compatible.contains(word))
    }

    fn has(&self, wanted: &Dmi) -> bool {
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        same(&wanted.sys_vendor, &self.dmi.sys_vendor)
            && same(&wanted.product_name, &self.dmi.product_name)
            && same(&wanted.board_vendor, &self.dmi.board_vendor)
            && same(&wanted.board_name, &self.dmi.board_name)
    }
}

fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The profile that is asked for by name, or the one of this machine, or else that of its architecture.
pub(super) fn choose(board: &str, machine: &Machine, arch: Arch) -> Option<Profile> {
    let mut ours: Vec<Profile> = Profile::all().filter(|profile| profile.arch == arch).collect();
    let wanted = |profile: &Profile| if board == AUTO { machine.is(&profile.matches) } else { profile.board == board };
    let at = ours.iter().position(wanted).or_else(|| {
        let fallback = |profile: &Profile| board == AUTO && profile.matches.fallback;
        ours.iter().position(fallback)
    })?;
    Some(ours.swap_remove(at))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sys(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn found(files: &[(&str, &str)], arch: Arch) -> String {
        choose(AUTO, &Machine::read(sys(files).path()), arch).unwrap().board
    }

    #[test]
    fn machines_are_recognised() {
        let (vendor, board_vendor) = ("class/dmi/id/sys_vendor", "class/dmi/id/board_vendor");
        let (board, tree) = ("class/dmi/id/board_name", "firmware/devicetree/base/compatible");
        let r5s = "friendlyarm,nanopi-r5s\0rockchip,rk3568\0";
        for (files, arch, wanted) in [
            (vec![(vendor, "QEMU\n")], Arch::X86, "qemu-x86_64"),
            (vec![(vendor, "QEMU\n")], Arch::Arm, "qemu-aarch64"),
            (vec![(tree, "linux,dummy-virt\0")], Arch::Arm, "qemu-aarch64"),
            (vec![(tree, r5s)], Arch::Arm, "nanopi-r5s"),
            (vec![(tree, r5s)], Arch::X86, "generic-x86_64"),
            (vec![(board_vendor, "Silicom  \n"), (board, "80500-0214-G\n")], Arch::X86, "silicom-cordoba"),
            (vec![(board_vendor, "Silicom\n"), (board, "80300-0222-G\n")], Arch::X86, "generic-x86_64"),
            (vec![(vendor, "\n")], Arch::X86, "generic-x86_64"),
            (vec![(tree, "friendlyarm,nanopi-r5s-not\0")], Arch::Arm, "generic-aarch64"),
            (vec![], Arch::Arm, "generic-aarch64"),
        ] {
            assert_eq!(found(&files, arch), wanted, "{files:?}");
        }
    }

    #[test]
    fn no_machine_is_two_boards() {
        for profile in Profile::all() {
            for dmi in &profile.matches.dmi {
                let machine = Machine { dmi: dmi.clone(), compatible: profile.matches.device_tree.clone() };
                let same = Profile::all().filter(|other| other.arch == profile.arch && machine.is(&other.matches));
                assert_eq!(same.count(), 1, "{}", profile.board);
            }
        }
    }

    #[test]
    fn the_settings_have_the_last_word() {
        let machine = Machine::read(sys(&[("class/dmi/id/sys_vendor", "QEMU")]).path());
        assert_eq!(choose("silicom-cordoba", &machine, Arch::X86).unwrap().board, "silicom-cordoba");
        assert_eq!(choose("nanopi-r5s", &machine, Arch::X86), None, "a board of another architecture");
        assert_eq!(choose("toaster", &machine, Arch::X86), None);
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let dir = sys(&[]);
        fs::create_dir_all(dir.path().join("class/dmi/id")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("class/dmi/id/sys_vendor")).unwrap();
        assert_eq!(Machine::read(dir.path()).dmi.product_name, None);
    }
}
