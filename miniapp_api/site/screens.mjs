// Every screen by the first part of its address. A screen has a title, `draw`, and tells which tab it
// belongs to; `open` ones need no sign-in, `bare` ones have no bars.

import { activitiesScreen, activityScreen } from "./screens/activities.mjs";
import { consentsScreen, giveConsentScreen, newConsentScreen } from "./screens/consents.mjs";
import { signInScreen } from "./screens/entry.mjs";
import {
  accountsScreen, devicesScreen, eraseScreen, erasedScreen, meScreen,
} from "./screens/me.mjs";
import {
  receiptScreen, redemptionReceiptScreen, shareScreen, sharesScreen,
} from "./screens/receipts.mjs";
import { redemptionScreen, redemptionsScreen, rewardsScreen } from "./screens/rewards.mjs";
import { homeScreen, movementsScreen } from "./screens/wallet.mjs";

const consents = {
  ...consentsScreen,
  draw: (at) => ({ new: newConsentScreen, give: giveConsentScreen }[at.parts[0]] ?? consentsScreen)
    .draw(at),
};

export const SCREENS = {
  "": homeScreen,
  "sign-in": signInScreen,
  movements: movementsScreen,
  activities: activitiesScreen,
  activity: activityScreen,
  receipt: receiptScreen,
  share: shareScreen,
  shares: sharesScreen,
  rewards: rewardsScreen,
  redemptions: redemptionsScreen,
  redemption: redemptionScreen,
  "redemption-receipt": redemptionReceiptScreen,
  consents,
  me: meScreen,
  accounts: accountsScreen,
  devices: devicesScreen,
  erase: eraseScreen,
  erased: erasedScreen,
};
