"""The box with a 64-bit ARM processor: what the other one is tested for, on the image that was cross-built for it."""

import unittest

import test_flow
import test_scan
import test_update


class Arm:
    arch = "aarch64"


class ArmScan(Arm, test_scan.Scan):
    pass


class ArmFlow(Arm, test_flow.Flow):
    pass


class ArmUpdates(Arm, test_update.Updates):
    #: It is about what is in the files, which is the same on both; and a boot takes a minute here.
    test_a_version_that_fails_its_trial_is_taken_back_and_what_it_took_in_arrives = None


if __name__ == "__main__":
    unittest.main(verbosity=2)
