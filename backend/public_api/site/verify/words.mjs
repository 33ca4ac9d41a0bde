// Plain Chinese words for steps, verdicts and what a receipt holds.

export const STEP_TITLES = {
  issuer: "发行方",
  format: "格式",
  leaf: "叶子（这条记录）",
  path: "日志路径",
  checkpoint: "检查点签名",
  anchor: "上链存证",
  posted: "上链入账",
  method: "减排量重算",
  rule: "积分重算",
  origin: "上报来源",
};

export const VERDICTS = {
  ok: "成立",
  failed: "不成立",
  stated: "由发行方声明",
  not_checked: "未核对",
  hidden: "已隐藏",
};

export const LEGEND = {
  ok: "在这里重做了一遍，成立",
  failed: "重做了一遍，不成立",
  stated: "前后一致，但取决于只有发行方知道的事",
  not_checked: "没有查",
  hidden: "分享版有意不写",
};

export const SCENARIOS = {
  "transit.metro.trip": "地铁出行",
  "transit.bus.trip": "公交出行",
  "bike.shared.ride": "共享单车骑行",
  "bike.electric.ride": "电动自行车骑行",
  "energy.home.month": "居家节电",
  "ev.charge.session": "电动汽车充电",
  "parking.shared.stay": "共享停车",
};

export const ACTS = {
  award: "发放积分",
  refund: "退回积分",
  redeem: "兑换使用",
  expire: "到期失效",
  reverse: "更正冲回",
  erase: "注销清零",
};

const VALUE_NAMES = {
  distance_m: "距离（米）",
  duration_s: "时长（秒）",
  energy_wh: "电量（瓦时）",
  days: "天数",
  trips: "次数",
  estimated: "是否估读",
  base_wh: "去年同月电量（瓦时）",
  base_days: "去年同月天数",
  base_estimated: "去年同月是否估读",
};
export const valueName = (name) => VALUE_NAMES[name] ?? name;

export const scenarioName = (scenario) => SCENARIOS[scenario] ?? scenario;

export function shown(value) {
  if (typeof value === "number") return value.toLocaleString("zh-CN");
  if (typeof value === "boolean") return value ? "是" : "否";
  return value === null ? "无" : String(value);
}

export const shortHash = (text) => `${text.slice(0, 8)}…${text.slice(-6)}`;
