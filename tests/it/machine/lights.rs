use std::fs;
use std::path::PathBuf;

use super::{Machine, outside};
use crate::peers::until;

const UNIT: &str = "sapphire-edge-lights.service";
/// A board's lights and a card with a cable as the kernel shows them; this machine has none.
const BOARD: &str = "/run/board";
/// That folder in place of the kernel's.
const DROP_IN: &str = "[Service]\nBindPaths=-/run/board:/sys/class\n";

struct Lights<'a>(&'a Machine);

impl Lights<'_> {
    fn make(&self) {
        for light in ["fp_left", "fp_center", "fp_right"] {
            let folder = format!("leds/platled::{light}");
            for (file, text) in [("brightness", "0"), ("max_brightness", "1"), ("multi_index", "red green")] {
                self.write(&format!("{folder}/{file}"), text);
            }
            self.write(&format!("{folder}/multi_intensity"), "0 0");
        }
        self.write("net/eth0/carrier", "1");
        self.write("net/eth0/device/vendor", "0x8086");
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path(&format!("{BOARD}/{file}"))
    }

    fn write(&self, file: &str, text: &str) {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), text).unwrap();
    }

    fn is_lit(&self, light: &str) -> bool {
        fs::read_to_string(self.path(&format!("leds/platled::{light}/brightness"))).unwrap() == "1"
    }
}

#[test]
fn the_lights_show_the_program_from_a_process_of_their_own() {
    outside(|| {
        let machine = Machine::boot_with("", &[(UNIT, DROP_IN)]);
        let lights = Lights(&machine);
        lights.make();
        machine.say(&format!("systemctl restart {UNIT}"));
        machine.change_settings("[hw]\nboard = \"silicom-cordoba\"\n");
        until("the power light is on", || lights.is_lit("fp_left").then_some(()));

        machine.say("systemctl stop sapphire-edge.service");
        until("the power light is dark", || (!lights.is_lit("fp_left")).then_some(()));
        until("the light for faults blinks", || lights.is_lit("fp_right").then_some(()));
        until("the light for faults blinks", || (!lights.is_lit("fp_right")).then_some(()));
        machine.say("systemctl start sapphire-edge.service");
        until("the power light is on again", || lights.is_lit("fp_left").then_some(()));

        let pid = machine.property(UNIT, "MainPID");
        let status = machine.say(&format!("cat /proc/{pid}/status"));
        // CAP_DAC_READ_SEARCH is number 2 (capability.h).
        assert!(status.contains("CapEff:\t0000000000000004\n"), "{status}");
        machine.say(&format!("systemctl stop {UNIT}"));
        assert_eq!(machine.property(UNIT, "Result"), "success");
        assert!(!lights.is_lit("fp_left"), "dark at the end");
    });
}
