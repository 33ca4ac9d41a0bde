// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {CarbonPointsNext} from "./Upgrade.t.sol";
import {Governed} from "../src/Governed.sol";
import {City} from "./support/City.sol";

/// @notice The contracts as an installation deploys them: UPGRADER and admin are the timelock's, and nobody's
/// key can upgrade or move a role without the delay.
contract TimelockTest is City {
    uint256 private constant DELAY = 2 days;
    TimelockController private lock;

    function setUp() public override {
        super.setUp();
        vm.warp(1_000_000);
        address[] memory governments = new address[](1);
        governments[0] = GOVERNMENT;
        lock = new TimelockController(DELAY, governments, governments, ADMIN);
        bytes32 canceller = lock.CANCELLER_ROLE();
        vm.prank(ADMIN);
        lock.grantRole(canceller, AUDITOR);
        vm.prank(ADMIN);
        lock.renounceRole(0, ADMIN);
        bytes32 upgrader = keccak256("UPGRADER");
        address[5] memory proxies = _proxies();
        for (uint256 i = 0; i < 5; ++i) {
            Governed target = Governed(proxies[i]);
            vm.prank(ADMIN);
            target.grantRole(upgrader, address(lock));
            vm.prank(ADMIN);
            target.grantRole(0, address(lock));
            vm.prank(UPGRADER);
            target.renounceRole(upgrader, UPGRADER);
            vm.prank(ADMIN);
            target.renounceRole(0, ADMIN);
        }
    }

    function _upgrade(address next) private pure returns (bytes memory) {
        return abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (next, ""));
    }

    function _schedule(address target, bytes memory data, uint256 delay) private pure returns (bytes memory) {
        return abi.encodeCall(TimelockController.schedule, (target, 0, data, 0, 0, delay));
    }

    function _execution(address target, bytes memory data) private pure returns (bytes memory) {
        return abi.encodeCall(TimelockController.execute, (target, 0, data, 0, 0));
    }

    function _done(address sender, bytes memory input) private {
        vm.prank(sender);
        (bool ok, bytes memory answer) = address(lock).call(input);
        _bubble(ok, answer);
    }

    function test_an_upgrade_waits_and_keeps_balances_and_open_batches() public {
        _post(_batch(1, 0), _record(1, 100));
        bytes memory data = _upgrade(address(new CarbonPointsNext()));
        _done(GOVERNMENT, _schedule(address(points), data, DELAY));
        require(_post(_batch(2, 10), _record(1, 30)), "service goes on while it waits");
        bytes32 id = lock.hashOperation(address(points), 0, data, 0, 0);
        vm.warp(1_000_000 + DELAY - 1);
        _refused(
            address(lock),
            GOVERNMENT,
            _execution(address(points), data),
            abi.encodeWithSelector(
                TimelockController.TimelockUnexpectedOperationState.selector, id, bytes32(uint256(4))
            )
        );
        vm.warp(1_000_000 + DELAY);
        _done(GOVERNMENT, _execution(address(points), data));
        require(CarbonPointsNext(address(points)).generation() == 2, "new code");
        _requireAccount(1, 100, 30, 0, 2);
        require(!_post(_batch(2, 10), _record(1, 30)), "a batch sent again has no second effect");
        require(_post(_batch(1, 20), _record(1, 5)), "and an open one is posted");
    }

    function test_the_delay_cannot_be_shortened() public {
        bytes memory data = _upgrade(address(new CarbonPointsNext()));
        _refused(
            address(lock),
            GOVERNMENT,
            _schedule(address(points), data, DELAY - 1),
            abi.encodeWithSelector(TimelockController.TimelockInsufficientDelay.selector, DELAY - 1, DELAY)
        );
        _refused(
            address(lock),
            GOVERNMENT,
            abi.encodeCall(TimelockController.updateDelay, (0)),
            abi.encodeWithSelector(TimelockController.TimelockUnauthorizedCaller.selector, GOVERNMENT)
        );
    }

    function test_no_key_upgrades_or_moves_a_role() public {
        address next = address(new CarbonPointsNext());
        address[6] memory keys = [SENDER, GOVERNMENT, AUDITOR, UPGRADER, ADMIN, STRANGER];
        address[5] memory proxies = _proxies();
        bytes32 upgrader = keccak256("UPGRADER");
        for (uint256 i = 0; i < 30; ++i) {
            address key = keys[i % 6];
            address target = proxies[i / 6];
            _refused(
                target,
                key,
                _upgrade(next),
                abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, key, upgrader)
            );
            _refused(
                target,
                key,
                abi.encodeCall(IAccessControl.grantRole, (upgrader, key)),
                abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, key, bytes32(0))
            );
        }
    }

    function test_every_door_of_the_timelock() public {
        bytes memory data = _upgrade(STRANGER);
        bytes[4] memory inputs = [
            _schedule(address(points), data, DELAY),
            _execution(address(points), data),
            abi.encodeCall(TimelockController.cancel, (bytes32("x"))),
            abi.encodeCall(IAccessControl.grantRole, (keccak256("PROPOSER_ROLE"), STRANGER))
        ];
        bytes32[4] memory roles = [lock.PROPOSER_ROLE(), lock.EXECUTOR_ROLE(), lock.CANCELLER_ROLE(), bytes32(0)];
        address[6] memory keys = [SENDER, GOVERNMENT, AUDITOR, UPGRADER, ADMIN, STRANGER];
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 k = 0; k < 6; ++k) {
                if (k == 1 && i < 3 || k == 2 && i == 2) continue;
                _refused(
                    address(lock),
                    keys[k],
                    inputs[i],
                    abi.encodeWithSelector(
                        IAccessControl.AccessControlUnauthorizedAccount.selector, keys[k], roles[i]
                    )
                );
            }
        }
    }

    function test_the_auditor_may_stop_what_was_scheduled() public {
        bytes memory data = _upgrade(address(new CarbonPointsNext()));
        _done(GOVERNMENT, _schedule(address(points), data, DELAY));
        bytes32 id = lock.hashOperation(address(points), 0, data, 0, 0);
        _done(AUDITOR, abi.encodeCall(TimelockController.cancel, (id)));
        vm.warp(1_000_000 + DELAY);
        _refused(
            address(lock),
            GOVERNMENT,
            _execution(address(points), data),
            abi.encodeWithSelector(
                TimelockController.TimelockUnexpectedOperationState.selector, id, bytes32(uint256(4))
            )
        );
    }
}
