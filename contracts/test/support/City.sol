// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC1967Proxy} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol";
import {Batch, CarbonPoints, Debit} from "../../src/CarbonPoints.sol";
import {EvidenceAnchor} from "../../src/EvidenceAnchor.sol";
import {RoleHolders} from "../../src/Governed.sol";
import {Enactment} from "../../src/IRuleRegistry.sol";
import {ParkingSettlement} from "../../src/ParkingSettlement.sol";
import {RuleRegistry} from "../../src/RuleRegistry.sol";
import {SpaceRegistry} from "../../src/SpaceRegistry.sol";
import {Vm} from "./Vm.sol";

/// @notice A small deployed city with every contract behind its proxy, and builders with defaults.
contract City {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    address internal constant ADMIN = address(0xA0);
    address internal constant SENDER = address(0xA1);
    address internal constant GOVERNMENT = address(0xA2);
    address internal constant AUDITOR = address(0xA3);
    address internal constant UPGRADER = address(0xA4);
    address internal constant STRANGER = address(0xA5);
    uint256 internal constant KEY_A = 0xA11CE;
    uint256 internal constant KEY_B = 0xB0B;
    uint256 internal constant KEY_STRANGER = 0xBAD;

    bytes32 internal constant CARBON = "carbon";
    bytes32 internal constant CONGESTION = "congestion";
    bytes32 internal constant PROGRAMME = "green-travel";
    bytes32 internal constant RULE = "metro-points";
    uint32 internal constant WINDOW_FROM = 20_000;
    uint32 internal constant WINDOW_TO = 21_000;
    uint32 internal constant OPEN = type(uint32).max;
    uint32 internal constant DISPUTE_SECONDS = 7 days;

    RuleRegistry internal registry;
    EvidenceAnchor internal anchors;
    CarbonPoints internal points;
    SpaceRegistry internal spaces;
    ParkingSettlement internal settlements;

    function setUp() public virtual {
        // Far from any activity day: nothing may depend on block time.
        vm.warp(1);
        vm.roll(77);
        address[] memory approvers = new address[](2);
        (approvers[0], approvers[1]) = (vm.addr(KEY_A), vm.addr(KEY_B));
        registry = RuleRegistry(
            _proxy(address(new RuleRegistry()), abi.encodeCall(RuleRegistry.initialize, (_holders(), approvers)))
        );
        anchors = EvidenceAnchor(
            _proxy(address(new EvidenceAnchor()), abi.encodeCall(EvidenceAnchor.initialize, (_holders())))
        );
        points = CarbonPoints(
            _proxy(
                address(new CarbonPoints()), abi.encodeCall(CarbonPoints.initialize, (_holders(), registry))
            )
        );
        spaces = SpaceRegistry(
            _proxy(address(new SpaceRegistry()), abi.encodeCall(SpaceRegistry.initialize, (_holders())))
        );
        settlements = ParkingSettlement(
            _proxy(
                address(new ParkingSettlement()),
                abi.encodeCall(ParkingSettlement.initialize, (_holders(), DISPUTE_SECONDS))
            )
        );
        _enact(_enactment());
        vm.prank(GOVERNMENT);
        points.setClass(CARBON, Debit.ChainSender);
        vm.prank(GOVERNMENT);
        points.setClass(CONGESTION, Debit.Nobody);
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, 1_000_000);
    }

    // ------------------------------------------------------------------------------------ builders

    function _holders() internal pure returns (RoleHolders memory) {
        address[] memory chainSenders = new address[](1);
        chainSenders[0] = SENDER;
        return RoleHolders(ADMIN, GOVERNMENT, AUDITOR, UPGRADER, chainSenders);
    }

    function _proxy(address implementation, bytes memory data) internal returns (address) {
        return address(new ERC1967Proxy(implementation, data));
    }

    function _enactment() internal pure returns (Enactment memory) {
        return Enactment(1, RULE, 1, keccak256("document"), WINDOW_FROM, WINDOW_TO);
    }

    function _signed(uint256 key, Enactment memory enactment) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, registry.hashEnactment(enactment));
        return abi.encodePacked(r, s, v);
    }

    function _enact(Enactment memory enactment) internal returns (bool) {
        return registry.enact(enactment, _signed(KEY_A, enactment), _signed(KEY_B, enactment));
    }

    /// @dev Leaf ranges make batches of one test differ.
    function _batch(uint8 kind, uint64 leafFrom) internal pure returns (Batch memory made) {
        made.kind = kind;
        made.class = CARBON;
        if (kind == 1) {
            made.programme = PROGRAMME;
            made.rule = RULE;
            made.ruleVersion = 1;
        }
        if (kind == 3) made.reason = 2;
        made.leafFrom = leafFrom;
        made.leafTo = leafFrom + 10;
        made.accountTo = bytes20(type(uint160).max);
    }

    function _refund(uint64 leafFrom) internal pure returns (Batch memory made) {
        made = _batch(1, leafFrom);
        made.reason = 4;
        made.programme = 0;
        made.rule = 0;
        made.ruleVersion = 0;
    }

    function _id(uint160 n) internal pure returns (bytes20) {
        return bytes20(n);
    }

    function _record(uint160 id, uint32 amount) internal pure returns (bytes memory) {
        return abi.encodePacked(id, amount);
    }

    /// @dev `count` records from account `first` upwards, `step` apart, all of one amount. Written in place:
    /// appending would take memory quadratically.
    function _records(uint256 count, uint160 first, uint160 step, uint32 amount)
        internal
        pure
        returns (bytes memory made)
    {
        made = new bytes(count * 24);
        for (uint256 i = 0; i < count; ++i) {
            uint256 word = (uint256(first + uint160(i) * step) << 96) | (uint256(amount) << 64);
            // The eight bytes after a record are the next record's, written after it; past the last one, keep.
            assembly ("memory-safe") {
                let here := add(add(made, 32), mul(i, 24))
                mstore(here, or(word, and(mload(here), 0xffffffffffffffff)))
            }
        }
    }

    // ------------------------------------------------------------------------------------ acts

    function _input(Batch memory batch, bytes memory records) internal pure returns (bytes memory) {
        bool issue = batch.kind == 1;
        return _input(batch, issue ? WINDOW_FROM : 0, issue ? WINDOW_FROM + 1 : 0, records);
    }

    function _input(Batch memory batch, uint32 dayFrom, uint32 dayTo, bytes memory records)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(CarbonPoints.post, (batch, dayFrom, dayTo, records));
    }

    function _post(Batch memory batch, bytes memory records) internal returns (bool fresh) {
        vm.prank(SENDER, SENDER);
        (bool ok, bytes memory answer) = address(points).call(_input(batch, records));
        _bubble(ok, answer);
        return abi.decode(answer, (bool));
    }

    function _bubble(bool ok, bytes memory answer) internal pure {
        if (ok) return;
        assembly {
            revert(add(answer, 32), mload(answer))
        }
    }

    /// @dev The call must revert with exactly this error.
    function _refused(address target, address sender, bytes memory input, bytes memory refusal) internal {
        vm.prank(sender, sender);
        (bool ok, bytes memory answer) = target.call(input);
        require(!ok, "was accepted");
        if (keccak256(answer) != keccak256(refusal)) _bubble(false, answer);
    }

    function _refused(bytes memory input, bytes memory refusal) internal {
        _refused(address(points), SENDER, input, refusal);
    }

    /// @dev The five proxies, each of which has the functions of `Governed`.
    function _proxies() internal view returns (address[5] memory) {
        return [address(points), address(registry), address(anchors), address(spaces), address(settlements)];
    }

    function _named(bytes4 selector) internal pure returns (bytes memory) {
        return abi.encodePacked(selector);
    }

    function _requireAccount(uint160 id, uint64 issued, uint64 redeemed, uint64 retired, uint64 seq) internal view {
        (uint64 a, uint64 b, uint64 c, uint64 d) = points.account(CARBON, _id(id));
        require(a == issued && b == redeemed && c == retired && d == seq, "account differs");
    }
}
