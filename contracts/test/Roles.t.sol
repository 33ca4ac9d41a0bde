// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";
import {CarbonPoints, Debit} from "../src/CarbonPoints.sol";
import {EvidenceAnchor} from "../src/EvidenceAnchor.sol";
import {Governed} from "../src/Governed.sol";
import {ParkingSettlement, Settlement} from "../src/ParkingSettlement.sol";
import {RuleRegistry} from "../src/RuleRegistry.sol";
import {Space, SpaceRegistry} from "../src/SpaceRegistry.sol";
import {City} from "./support/City.sol";

/// @notice Every restricted function from every holder of a role and from a stranger. Who holds the role is
/// not stopped by it; everybody else is, by OpenZeppelin's named error, before anything else is looked at.
contract RolesTest is City {
    struct Door {
        address target;
        bytes input;
        bytes32 role;
    }

    Door[] private doors;
    bytes32 private constant CHAIN_SENDER_ROLE = keccak256("CHAIN_SENDER");
    bytes32 private constant GOVERNMENT_ROLE = keccak256("GOVERNMENT");
    bytes32 private constant AUDITOR_ROLE = keccak256("AUDITOR");
    bytes32 private constant UPGRADER_ROLE = keccak256("UPGRADER");
    bytes32 private constant ADMIN_ROLE = 0;

    function setUp() public override {
        super.setUp();
        bytes32 id = keccak256("id");
        bytes20 one = bytes20(uint160(1));
        _door(address(points), _input(_batch(1, 0), _record(1, 1)), CHAIN_SENDER_ROLE);
        _door(address(points), abi.encodeCall(CarbonPoints.setBudget, (PROGRAMME, 5)), GOVERNMENT_ROLE);
        _door(address(points), abi.encodeCall(CarbonPoints.setClass, (CARBON, Debit.Nobody)), GOVERNMENT_ROLE);
        _door(address(registry), abi.encodeCall(RuleRegistry.registerApprover, (STRANGER)), GOVERNMENT_ROLE);
        _door(address(registry), abi.encodeCall(RuleRegistry.removeApprover, (STRANGER)), GOVERNMENT_ROLE);
        _door(address(anchors), abi.encodeCall(EvidenceAnchor.anchor, (1, id, 0)), CHAIN_SENDER_ROLE);
        Space[] memory list = new Space[](1);
        list[0] = Space(id, one, id, id);
        _door(address(spaces), abi.encodeCall(SpaceRegistry.register, (list)), CHAIN_SENDER_ROLE);
        _door(address(spaces), abi.encodeCall(SpaceRegistry.suspend, (id, 1, id)), CHAIN_SENDER_ROLE);
        _door(address(spaces), abi.encodeCall(SpaceRegistry.resume, (id, 1)), CHAIN_SENDER_ROLE);
        _door(address(spaces), abi.encodeCall(SpaceRegistry.handOver, (id, 1, one, one, id)), CHAIN_SENDER_ROLE);
        _door(address(spaces), abi.encodeCall(SpaceRegistry.setPolicy, (id, 1, id)), CHAIN_SENDER_ROLE);
        Settlement memory head = Settlement(id, 1, 0, 0);
        _door(address(settlements), abi.encodeCall(ParkingSettlement.settle, (head, "")), CHAIN_SENDER_ROLE);
        _door(
            address(settlements), abi.encodeCall(ParkingSettlement.openDispute, (id, one, 0, id)), CHAIN_SENDER_ROLE
        );
        _door(
            address(settlements),
            abi.encodeCall(ParkingSettlement.resolveDispute, (id, one, 0, true, id, id)),
            GOVERNMENT_ROLE
        );
        _door(address(settlements), abi.encodeCall(ParkingSettlement.setDisputeWindow, (1)), GOVERNMENT_ROLE);
        address[5] memory proxies = _proxies();
        for (uint256 i = 0; i < 5; ++i) {
            _door(proxies[i], abi.encodeCall(Governed.pause, ()), AUDITOR_ROLE);
            _door(proxies[i], abi.encodeCall(Governed.unpause, ()), AUDITOR_ROLE);
            _door(proxies[i], abi.encodeCall(UUPSUpgradeable.upgradeToAndCall, (STRANGER, "")), UPGRADER_ROLE);
            _door(proxies[i], abi.encodeCall(IAccessControl.grantRole, (UPGRADER_ROLE, STRANGER)), ADMIN_ROLE);
            _door(proxies[i], abi.encodeCall(IAccessControl.revokeRole, (UPGRADER_ROLE, STRANGER)), ADMIN_ROLE);
        }
    }

    function _door(address target, bytes memory input, bytes32 role) private {
        doors.push(Door(target, input, role));
    }

    function _holderOf(bytes32 role) private pure returns (address) {
        if (role == CHAIN_SENDER_ROLE) return SENDER;
        if (role == GOVERNMENT_ROLE) return GOVERNMENT;
        if (role == AUDITOR_ROLE) return AUDITOR;
        return role == UPGRADER_ROLE ? UPGRADER : ADMIN;
    }

    function test_every_door_from_every_holder() public {
        address[6] memory callers = [SENDER, GOVERNMENT, AUDITOR, UPGRADER, ADMIN, STRANGER];
        for (uint256 d = 0; d < doors.length; ++d) {
            Door storage door = doors[d];
            for (uint256 c = 0; c < callers.length; ++c) {
                if (callers[c] == _holderOf(door.role)) continue;
                _refused(
                    door.target,
                    callers[c],
                    door.input,
                    abi.encodeWithSelector(
                        IAccessControl.AccessControlUnauthorizedAccount.selector, callers[c], door.role
                    )
                );
            }
        }
    }

    function test_the_holder_is_not_stopped_by_the_role() public {
        for (uint256 d = 0; d < doors.length; ++d) {
            Door storage door = doors[d];
            address holder = _holderOf(door.role);
            vm.prank(holder, holder);
            (bool ok, bytes memory answer) = door.target.call(door.input);
            require(ok || bytes4(answer) != IAccessControl.AccessControlUnauthorizedAccount.selector, "stopped");
        }
    }

    /// @dev Pausing stops acts, not the settings that put things right.
    function test_roles_and_settings_work_while_paused() public {
        address[5] memory proxies = _proxies();
        for (uint256 i = 0; i < 5; ++i) {
            vm.prank(AUDITOR);
            Governed(proxies[i]).pause();
            vm.prank(ADMIN);
            Governed(proxies[i]).grantRole(CHAIN_SENDER_ROLE, STRANGER);
            require(Governed(proxies[i]).hasRole(CHAIN_SENDER_ROLE, STRANGER));
        }
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, 5);
        vm.prank(GOVERNMENT);
        settlements.setDisputeWindow(5);
    }
}
