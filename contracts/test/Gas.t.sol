// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Enactment} from "../src/IRuleRegistry.sol";
import {Settlement} from "../src/ParkingSettlement.sol";
import {Space} from "../src/SpaceRegistry.sol";
import {City} from "./support/City.sol";

/// @notice Measures whole transactions of `post` (run with --isolate; see scripts/gas.mjs). Accounts are spread
/// over the whole range; "new" = first time ever, "returning" = the same accounts again; a programme, a class
/// and a rule are in use already, as they are in every batch but a city's first.
contract GasTest is City {
    function _measure(uint256 count, string memory name) private {
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, type(uint64).max);
        _post(_batch(1, 90), _record(0, 1));
        uint160 step = type(uint160).max / uint160(count + 1);
        bytes memory records = _records(count, step, step, 1_234);
        _measured(1, 0, records, string.concat("issue new ", name));
        _measured(1, 10, records, string.concat("issue returning ", name));
        _measured(2, 20, _records(count, step, step, 12), string.concat("redeem ", name));
        _measured(3, 30, _records(count, step, step, 12), string.concat("retire ", name));
        _measured(1, 10, records, string.concat("replay ", name));
    }

    function _measured(uint8 kind, uint64 leafFrom, bytes memory records, string memory name) private {
        bytes memory input = _input(_batch(kind, leafFrom), records);
        vm.prank(SENDER, SENDER);
        (bool ok,) = address(points).call(input);
        vm.snapshotGasLastCall(name);
        require(ok, name);
    }

    function test_gas_1() public {
        _measure(1, "1");
    }

    function test_gas_10() public {
        _measure(10, "10");
    }

    function test_gas_100() public {
        _measure(100, "100");
    }

    function test_gas_700() public {
        _measure(700, "700");
    }

    function test_gas_1000() public {
        _measure(1000, "1000");
    }

    function test_gas_other_calls() public {
        bytes32 root;
        for (uint64 size = 1; size <= 2; ++size) {
            vm.prank(SENDER, SENDER);
            anchors.anchor(size, bytes32(uint256(size)), root);
            vm.snapshotGasLastCall(size == 1 ? "anchor first" : "anchor next");
            root = bytes32(uint256(size));
        }
        Enactment memory e = _enactment();
        e.version = 2;
        (bytes memory a, bytes memory b) = (_signed(KEY_A, e), _signed(KEY_B, e));
        registry.enact(e, a, b);
        vm.snapshotGasLastCall("enact");
    }

    function _parties(uint160 count) private pure returns (bytes memory made) {
        for (uint160 i = 1; i <= count; ++i) {
            int64 net = i % 2 == 1 ? (i == count ? int64(0) : int64(uint64(i))) : -int64(uint64(i - 1));
            made = bytes.concat(made, abi.encodePacked(i << 128 | i, uint32(31), net, keccak256(abi.encode(i))));
        }
    }

    function test_gas_parking() public {
        _settle(0, 1, "");
        _settle(1, 1, "settle 1");
        _settle(2, 10, "settle 10");
        _settle(3, 100, "settle 100");
        _settle(4, 350, "settle 350");
        bytes32 id = settlements.settlementIdOf(Settlement("north", 20_779, 2, 0));
        bytes20 party = bytes20(uint160(1) << 128 | 1);
        vm.prank(SENDER);
        settlements.openDispute(id, party, 0, "claim");
        vm.snapshotGasLastCall("open dispute");
        vm.prank(GOVERNMENT);
        settlements.resolveDispute(id, party, 0, false, "decision", 0);
        vm.snapshotGasLastCall("resolve dispute");
    }

    function _settle(uint32 part, uint160 count, string memory name) private {
        bytes memory records = _parties(count);
        vm.prank(SENDER);
        settlements.settle(Settlement("north", 20_779, part, 0), records);
        if (bytes(name).length != 0) vm.snapshotGasLastCall(name);
    }

    function test_gas_spaces() public {
        _register(0, 1, "");
        _register(1, 1, "register 1");
        _register(2, 200, "register 200");
        bytes32 bay = keccak256(abi.encode(1, 0));
        vm.prank(SENDER);
        spaces.suspend(bay, 2, "reason");
        vm.snapshotGasLastCall("suspend");
        vm.prank(SENDER);
        spaces.handOver(bay, 3, bytes20(uint160(1) << 100 | 1), bytes20(uint160(2)), "agreement");
        vm.snapshotGasLastCall("hand over");
    }

    function _register(uint256 lot, uint256 count, string memory name) private {
        Space[] memory list = new Space[](count);
        for (uint256 i = 0; i < count; ++i) {
            bytes20 owner = bytes20(uint160(i + 1) << 100 | 1);
            list[i] = Space(keccak256(abi.encode(lot, i)), owner, keccak256(abi.encode(lot)), keccak256("policy"));
        }
        vm.prank(SENDER);
        spaces.register(list);
        if (bytes(name).length != 0) vm.snapshotGasLastCall(name);
    }
}
