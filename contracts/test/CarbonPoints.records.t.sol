// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Batch, CarbonPoints} from "../src/CarbonPoints.sol";
import {City} from "./support/City.sol";

/// @notice Records, lanes and input bytes of `CarbonPoints.post`.
contract CarbonPointsRecordsTest is City {
    // ------------------------------------------------------------------------------------ records

    function test_records_have_24_bytes_each_from_1_to_2040() public {
        uint256[4] memory lengths = [uint256(0), 23, 25, 2041 * 24];
        for (uint256 i = 0; i < lengths.length; ++i) {
            _refused(
                _input(_batch(1, 0), new bytes(lengths[i])),
                abi.encodeWithSelector(CarbonPoints.CarbonPointsRecordsLength.selector, lengths[i])
            );
        }
    }

    function test_amount_is_at_least_one() public {
        for (uint8 kind = 1; kind <= 3; ++kind) {
            _refused(
                _input(_batch(kind, 0), _record(1, 0)),
                abi.encodeWithSelector(CarbonPoints.CarbonPointsAmountZero.selector, 0)
            );
        }
        _refused(
            _input(_batch(1, 0), abi.encodePacked(_record(1, 5), _record(2, 0))),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsAmountZero.selector, 1)
        );
    }

    /// @dev Every kind: redeeming has a loop of its own.
    function test_accounts_strictly_ascend() public {
        _post(_batch(1, 90), abi.encodePacked(_record(1, 50), _record(2, 50)));
        bytes memory wrong = abi.encodeWithSelector(CarbonPoints.CarbonPointsAccountsNotAscending.selector, 1);
        for (uint8 kind = 1; kind <= 3; ++kind) {
            _refused(_input(_batch(kind, 0), abi.encodePacked(_record(2, 5), _record(1, 5))), wrong);
            _refused(_input(_batch(kind, 0), abi.encodePacked(_record(2, 5), _record(2, 5))), wrong);
        }
    }

    function test_accounts_of_every_kind_are_inside_the_range() public {
        _post(_batch(1, 90), abi.encodePacked(_record(9, 50), _record(21, 50)));
        for (uint8 kind = 1; kind <= 3; ++kind) {
            Batch memory head = _batch(kind, 0);
            (head.accountFrom, head.accountTo) = (_id(10), _id(20));
            bytes memory outside =
                abi.encodeWithSelector(CarbonPoints.CarbonPointsAccountOutsideRange.selector, 0);
            _refused(_input(head, _record(9, 5)), outside);
            _refused(_input(head, _record(21, 5)), outside);
        }
    }

    function test_accounts_are_inside_the_range() public {
        Batch memory head = _batch(1, 0);
        (head.accountFrom, head.accountTo) = (_id(10), _id(20));
        _refused(
            _input(head, abi.encodePacked(_record(9, 5), _record(11, 5))),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsAccountOutsideRange.selector, 0)
        );
        _refused(
            _input(head, abi.encodePacked(_record(11, 5), _record(21, 5))),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsAccountOutsideRange.selector, 1)
        );
        require(_post(head, abi.encodePacked(_record(10, 5), _record(20, 5))));
        head = _batch(1, 10);
        (head.accountFrom, head.accountTo) = (_id(20), _id(10));
        _refused(
            _input(head, _record(20, 5)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsAccountOutsideRange.selector, 0)
        );
    }

    function test_lowest_and_highest_account_are_ordinary() public {
        bytes memory records = abi.encodePacked(_record(0, 5), _record(type(uint160).max, 7));
        require(_post(_batch(1, 0), records));
        _requireAccount(0, 5, 0, 0, 1);
        _requireAccount(type(uint160).max, 7, 0, 0, 1);
        _refused(
            _input(_batch(1, 10), abi.encodePacked(_record(type(uint160).max, 7), _record(0, 5))),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsAccountsNotAscending.selector, 1)
        );
    }

    function test_redemption_beyond_the_balance_is_refused_whole() public {
        _post(_batch(1, 0), abi.encodePacked(_record(1, 100), _record(2, 50)));
        _refused(
            _input(_batch(2, 10), abi.encodePacked(_record(1, 100), _record(2, 51))),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsRedemptionBeyondBalance.selector, _id(2))
        );
        _requireAccount(1, 100, 0, 0, 1);
        Batch memory head = _batch(2, 10);
        (head.accountFrom, head.accountTo) = (_id(2), _id(2));
        _refused(
            _input(head, _record(2, 51)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsRedemptionBeyondBalance.selector, _id(2))
        );
    }

    // ------------------------------------------------------------------------------------ lanes

    /// @dev Puts a class's and one account's lane of `kind` just below the top, as after 2^64 − 2 points.
    function _fillLane(uint8 kind) internal {
        bytes32 location = 0xb2fbccca299c6ebfd1809960144cf7303e7d46b9e5798a181c6e6384e7c76800;
        uint256 lane = uint256(type(uint64).max - 1) << (64 * (kind - 1));
        bytes32 class = keccak256(abi.encode(CARBON, uint256(location) + 2));
        vm.store(address(points), class, bytes32(uint256(vm.load(address(points), class)) | lane));
        bytes32 id = keccak256(abi.encode(_id(1), keccak256(abi.encode(CARBON, location))));
        vm.store(address(points), id, bytes32(lane));
    }

    function test_no_lane_ever_carries_into_the_next() public {
        vm.prank(GOVERNMENT);
        points.setBudget(PROGRAMME, type(uint64).max);
        bytes memory full = abi.encodeWithSelector(CarbonPoints.CarbonPointsTotalsFull.selector, CARBON);
        _fillLane(1);
        _refused(_input(_batch(1, 0), _record(1, 2)), full);
        _refused(_input(_refund(0), _record(1, 2)), full);
        require(_post(_batch(1, 0), _record(1, 1)));
        _requireAccount(1, type(uint64).max, 0, 0, 1);
        _refused(_input(_batch(1, 10), _record(2, 1)), full);

        // Redeem everything but two, so that the redeemed lane is what fills up next.
        _fillLane(2);
        vm.store(
            address(points),
            keccak256(
                abi.encode(
                    _id(1),
                    keccak256(
                        abi.encode(CARBON, 0xb2fbccca299c6ebfd1809960144cf7303e7d46b9e5798a181c6e6384e7c76800)
                    )
                )
            ),
            bytes32(uint256(type(uint64).max) | uint256(type(uint64).max - 1) << 64)
        );
        require(_post(_batch(2, 20), _record(1, 1)));
        _requireAccount(1, type(uint64).max, type(uint64).max, 0, 1);
        _fillLane(3);
        _refused(_input(_batch(3, 30), _record(1, 2)), full);
        require(_post(_batch(3, 30), _record(1, 1)));
        _requireAccount(1, 0, 0, type(uint64).max, 1);
    }

    function test_the_redeemed_lane_of_a_class_is_checked() public {
        _post(_batch(1, 0), _record(2, 5));
        _fillLane(2);
        _refused(
            _input(_batch(2, 10), _record(2, 2)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsTotalsFull.selector, CARBON)
        );
    }

    function test_the_refunded_lane_of_a_class_is_checked() public {
        bytes32 location = 0xb2fbccca299c6ebfd1809960144cf7303e7d46b9e5798a181c6e6384e7c76800;
        bytes32 class = keccak256(abi.encode(CARBON, uint256(location) + 2));
        vm.store(
            address(points),
            class,
            bytes32(uint256(vm.load(address(points), class)) | uint256(type(uint56).max) << 192)
        );
        _refused(
            _input(_refund(0), _record(2, 1)),
            abi.encodeWithSelector(CarbonPoints.CarbonPointsTotalsFull.selector, CARBON)
        );
        vm.store(address(points), class, bytes32(uint256(vm.load(address(points), class)) - (1 << 192)));
        require(_post(_refund(0), _record(2, 1)));
        (, uint56 refunded) = points.classOf(CARBON);
        require(refunded == type(uint56).max);
    }

    // ------------------------------------------------------------------------------------ input bytes

    /// @dev Dirt in any byte of a head word that its type does not use.
    function test_dirty_padding_in_the_head_is_refused() public {
        bytes memory good = _input(_batch(1, 0), _record(1, 1));
        uint8[12] memory used = [1, 32, 32, 32, 4, 1, 8, 8, 20, 20, 4, 4];
        uint256 tried;
        for (uint256 word = 0; word < 12; ++word) {
            bool left = used[word] == 20;
            for (uint256 i = 0; i < 32; ++i) {
                bool spare = left ? i >= 20 : i < 32 - used[word];
                if (!spare) continue;
                bytes memory dirty = bytes.concat(good);
                dirty[4 + word * 32 + i] = 0x01;
                _refused(dirty, "");
                ++tried;
            }
        }
        require(tried == 31 + 28 + 31 + 24 + 24 + 12 + 12 + 28 + 28);
    }

    function test_loose_tail_is_refused() public {
        bytes memory loose = _named(CarbonPoints.CarbonPointsInputNotCanonical.selector);
        bytes memory good = _input(_batch(1, 0), abi.encodePacked(_record(1, 1), _record(2, 1)));
        for (uint256 i = good.length - 16; i < good.length; ++i) {
            bytes memory dirty = bytes.concat(good);
            dirty[i] = 0x01;
            _refused(dirty, loose);
        }
        _refused(bytes.concat(good, bytes1(0)), loose);
        _refused(bytes.concat(good, bytes32(0)), loose);
        // The same data one word further down, with the offset saying so.
        bytes memory moved = new bytes(good.length + 32);
        for (uint256 i = 0; i < good.length; ++i) moved[i < 420 ? i : i + 32] = good[i];
        moved[419] = 0xc0;
        _refused(moved, loose);
    }

    /// @dev A length that fits the input, and an offset to another length inside the records.
    function test_an_offset_into_the_records_is_refused() public {
        bytes memory inner = abi.encodePacked(uint256(24), _record(1, 1), bytes8(0));
        bytes memory input = _input(_batch(1, 0), inner);
        input[419] = 0xc0;
        _refused(input, _named(CarbonPoints.CarbonPointsInputNotCanonical.selector));
    }
}
