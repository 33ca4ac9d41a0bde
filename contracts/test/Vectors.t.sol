// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Batch, CarbonPoints, Debit} from "../src/CarbonPoints.sol";
import {Enactment} from "../src/IRuleRegistry.sol";
import {RuleRegistry} from "../src/RuleRegistry.sol";
import {City} from "./support/City.sol";

/// @notice The values of vectors.json, which another implementation made, recomputed by the contracts.
contract VectorsTest is City {
    bytes32 private constant IMPLEMENTATION = 0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc;

    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("./vectors.json");
        vm.chainId(20_261);
    }

    /// @dev The proxy of `from` again at another address, with storage of its own.
    function _moveTo(address target, address from, bytes memory initialize) private {
        vm.etch(target, from.code);
        vm.store(target, IMPLEMENTATION, vm.load(from, IMPLEMENTATION));
        (bool ok, bytes memory answer) = target.call(initialize);
        _bubble(ok, answer);
    }

    function _head() private pure returns (Batch memory) {
        return Batch({
            kind: 1,
            class: "carbon",
            programme: "green-travel",
            rule: "metro-points",
            ruleVersion: 3,
            reason: 0,
            leafFrom: 1000,
            leafTo: 1999,
            accountFrom: bytes20(0),
            accountTo: bytes20(type(uint160).max)
        });
    }

    function _enacted() private pure returns (Enactment memory) {
        return Enactment({
            what: 1,
            id: "metro-points",
            version: 3,
            digest: bytes32(type(uint256).max / 255 * 0x7b),
            dayFrom: 20_454,
            dayTo: OPEN
        });
    }

    function test_batch_id_content_and_input() public {
        address target = vm.parseJsonAddress(json, ".batch.contract");
        _moveTo(target, address(points), abi.encodeCall(CarbonPoints.initialize, (_holders(), registry)));
        bytes memory records = vm.parseJsonBytes(json, ".batch.records");
        require(
            CarbonPoints(target).batchIdOf(_head()) == vm.parseJsonBytes32(json, ".batch.batch_id"), "batch id"
        );
        require(
            keccak256(abi.encode(uint32(20_779), uint32(20_780), records))
                == vm.parseJsonBytes32(json, ".batch.content"),
            "content"
        );
        bytes memory input = _input(_head(), 20_779, 20_780, records);
        require(keccak256(input) == keccak256(vm.parseJsonBytes(json, ".batch.input")), "input");
    }

    function test_digest_and_signatures_of_an_enactment() public {
        RuleRegistry target = RuleRegistry(vm.parseJsonAddress(json, ".enactment.contract"));
        address[] memory approvers = new address[](2);
        approvers[0] = vm.parseJsonAddress(json, ".enactment.approvers[0]");
        approvers[1] = vm.parseJsonAddress(json, ".enactment.approvers[1]");
        _moveTo(
            address(target),
            address(registry),
            abi.encodeCall(RuleRegistry.initialize, (_holders(), approvers))
        );
        Enactment memory e = _enacted();
        require(e.digest == vm.parseJsonBytes32(json, ".enactment.digest"), "document digest");
        require(target.hashEnactment(e) == vm.parseJsonBytes32(json, ".enactment.digest_to_sign"), "typed data");
        require(
            target.enact(
                e,
                vm.parseJsonBytes(json, ".enactment.signatures[0]"),
                vm.parseJsonBytes(json, ".enactment.signatures[1]")
            ),
            "signatures"
        );
    }

    /// @dev The vector's batch posted byte for byte.
    function test_the_input_is_taken() public {
        address target = vm.parseJsonAddress(json, ".batch.contract");
        _moveTo(target, address(points), abi.encodeCall(CarbonPoints.initialize, (_holders(), registry)));
        Enactment memory e = _enacted();
        _enact(e);
        vm.prank(GOVERNMENT);
        CarbonPoints(target).setClass(CARBON, Debit.ChainSender);
        vm.prank(GOVERNMENT);
        CarbonPoints(target).setBudget(PROGRAMME, 1251);
        vm.prank(SENDER, SENDER);
        (bool ok, bytes memory answer) = target.call(vm.parseJsonBytes(json, ".batch.input"));
        _bubble(ok, answer);
        (bool known, bytes20 content,, uint48 total,) =
            CarbonPoints(target).batch(vm.parseJsonBytes32(json, ".batch.batch_id"));
        require(known && total == 1251 && content == bytes20(vm.parseJsonBytes32(json, ".batch.content")));
    }
}
