// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Enactment} from "../src/IRuleRegistry.sol";
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
}
