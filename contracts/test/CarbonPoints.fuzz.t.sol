// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Batch, CarbonPoints} from "../src/CarbonPoints.sol";
import {Model} from "./support/Model.sol";

/// @notice The contract against the plain model on arbitrary batches.
contract CarbonPointsFuzzTest is Model {
    function testFuzz_three_batches_end_as_in_the_model(
        uint256[] memory issue,
        uint256[] memory redeem,
        uint256[] memory retire
    ) public {
        _postBoth(_batch(1, 0), _recordsOf(issue, 20));
        _postBoth(_batch(2, 10), _recordsOf(redeem, 5));
        _postBoth(_batch(3, 20), _recordsOf(retire, 5));
        _requireSame(CARBON);
        _requireSameBudget(PROGRAMME);
    }

    function testFuzz_acceptable_batches_end_as_in_the_model(uint256 masks, uint256 seed) public {
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, type(uint64).max);
        cap[PROGRAMME] = type(uint64).max;
        require(_postBoth(_batch(1, 0), _ascending(masks, seed, type(uint32).max)), "issue");
        require(_postBoth(_refund(5), _ascending(masks >> 8, seed >> 1, type(uint32).max)), "refund");
        _postBoth(_batch(2, 10), _ascending(masks >> 16, seed >> 2, type(uint32).max));
        require(_postBoth(_batch(3, 20), _ascending(masks >> 24, seed >> 3, type(uint32).max)), "retire");
        _postBoth(_batch(2, 30), _ascending(masks >> 32, seed >> 4, 1_000));
        _requireSame(CARBON);
        _requireSame(CONGESTION);
    }

    /// @dev Whatever stands in the lanes, one addition changes its own lane and seq, by one amount and by one.
    function testFuzz_a_lane_never_carries(
        uint64 issued,
        uint64 redeemed,
        uint64 retired,
        uint64 seq,
        uint32 amount,
        uint8 kindSeed
    ) public {
        vm.assume(amount > 0 && seq < type(uint64).max);
        uint8 kind = kindSeed % 3 + 1;
        uint64[3] memory lanes = [issued, redeemed, retired];
        bool overdrawn = kind == 2 && uint256(redeemed) + retired + amount > issued;
        bool full = uint256(lanes[kind - 1]) + amount > type(uint64).max;
        _storeAccount(lanes, seq);

        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, type(uint64).max);
        vm.prank(SENDER, SENDER);
        (bool ok,) = address(points).call(_input(_batch(kind, 0), _record(1, amount)));
        require(ok == !(overdrawn || full), "accepted iff it fits");
        if (ok) {
            lanes[kind - 1] += amount;
            seq += 1;
        }
        _requireAccount(1, lanes[0], lanes[1], lanes[2], seq);
    }

    /// @dev One account holding all points of its class, as storage would stand after those batches.
    function _storeAccount(uint64[3] memory lanes, uint64 seq) private {
        bytes32 location = 0xb2fbccca299c6ebfd1809960144cf7303e7d46b9e5798a181c6e6384e7c76800;
        uint256 word = uint256(lanes[0]) | uint256(lanes[1]) << 64 | uint256(lanes[2]) << 128;
        bytes32 id = keccak256(abi.encode(_id(1), keccak256(abi.encode(CARBON, location))));
        vm.store(address(points), id, bytes32(word | uint256(seq) << 192));
        bytes32 class = keccak256(abi.encode(CARBON, uint256(location) + 2));
        vm.store(address(points), class, bytes32(uint256(vm.load(address(points), class)) | word));
    }

    function testFuzz_the_window_decides(uint32 dayFrom, uint32 dayTo) public {
        bool inside = WINDOW_FROM <= dayFrom && dayFrom < dayTo && dayTo <= WINDOW_TO;
        vm.prank(SENDER, SENDER);
        (bool ok,) = address(points).call(_input(_batch(1, 0), dayFrom, dayTo, _record(1, 1)));
        require(ok == inside);
    }

    /// @dev Days near the window, where arbitrary words seldom fall.
    function testFuzz_the_window_decides_at_its_edges(uint8 from, uint8 to) public {
        testFuzz_the_window_decides(WINDOW_FROM - 2 + from % 5, WINDOW_TO - 2 + to % 5);
        testFuzz_the_window_decides(WINDOW_TO - 2 + from % 5, WINDOW_FROM - 2 + to % 5);
    }

    function testFuzz_range_decides(uint160 from, uint160 to, uint160 first, uint160 second) public {
        vm.assume(first < second);
        Batch memory head = _batch(1, 0);
        (head.accountFrom, head.accountTo) = (bytes20(from), bytes20(to));
        vm.prank(SENDER, SENDER);
        (bool ok,) =
            address(points).call(_input(head, abi.encodePacked(_record(first, 1), _record(second, 1))));
        require(ok == (from <= first && second <= to));
    }

    /// @dev A changed field of the header is another batch: two batches, two effects.
    function testFuzz_every_header_field_is_in_the_id(uint8 field, uint64 value) public view {
        Batch memory a = _batch(1, 0);
        Batch memory b = _batch(1, 0);
        field %= 10;
        if (field == 0) b.kind = uint8(value);
        if (field == 1) b.class = bytes32(uint256(value));
        if (field == 2) b.programme = bytes32(uint256(value));
        if (field == 3) b.rule = bytes32(uint256(value));
        if (field == 4) b.ruleVersion = uint32(value);
        if (field == 5) b.reason = uint8(value);
        if (field == 6) b.leafFrom = value;
        if (field == 7) b.leafTo = value;
        if (field == 8) b.accountFrom = bytes20(uint160(value));
        if (field == 9) b.accountTo = bytes20(uint160(value));
        bool same = keccak256(abi.encode(a)) == keccak256(abi.encode(b));
        require((points.batchIdOf(a) == points.batchIdOf(b)) == same);
    }
}
