"""Four years of daily weather in Seattle (data: vega-datasets, from NOAA): what the months are like, as a table, a plot and a summary.

Run by `npm start`; by hand: toolx run python examples/seattle-weather/analyse.py --file node_modules/vega-datasets/data/seattle-weather.csv
"""

import json
import os

import matplotlib.pyplot as plt
import pandas as pd


def progress(share, message):
    """Tells whoever watches how far the task is."""
    with os.fdopen(os.dup(int(os.environ["TOOL_PROGRESS_FD"])), "w") as channel:
        channel.write(json.dumps({"progress": share, "message": message}) + "\n")


progress(0.1, "reading the data")
days = pd.read_csv("seattle-weather.csv", parse_dates=["date"])
print(f"{len(days)} days, {days.date.min():%d %B %Y} to {days.date.max():%d %B %Y}\n", flush=True)

days["month"] = days.date.dt.month
days["wet"] = days.precipitation > 0
years = days.date.dt.year.nunique()
months = days.groupby("month").agg(
    rain_mm=("precipitation", lambda mm: mm.sum() / years),
    wet_days=("wet", lambda wet: wet.sum() / years),
    high=("temp_max", "mean"),
    low=("temp_min", "mean"),
)

print("month  rain mm  wet days  high °C  low °C")
names = [pd.Timestamp(2000, month, 1).strftime("%b") for month in months.index]
for name, (_, row) in zip(names, months.iterrows()):
    print(f"{name:5}  {row.rain_mm:7.1f}  {row.wet_days:8.1f}  {row.high:7.1f}  {row.low:6.1f}", flush=True)

progress(0.6, "drawing")
figure, rain = plt.subplots(figsize=(9, 5), layout="constrained")
rain.bar(names, months.rain_mm, color="#7aa6c2", label="rain")
rain.set_ylabel("rain, mm a month")
rain.set_ylim(0, months.rain_mm.max() * 1.25)
temperature = rain.twinx()
temperature.plot(names, months.high, color="#c0392b", marker="o", label="mean daily high")
temperature.plot(names, months.low, color="#2c3e50", marker="o", label="mean daily low")
temperature.set_ylabel("°C")
temperature.set_ylim(0, 32)
rain.set_title(f"Seattle, an average month ({days.date.min():%Y}–{days.date.max():%Y})")
handles = [*rain.get_legend_handles_labels()[0], *temperature.get_legend_handles_labels()[0]]
rain.legend(handles, [handle.get_label() for handle in handles], loc="upper center", ncols=3, frameon=False)
for spine in ("top",):
    rain.spines[spine].set_visible(False)
    temperature.spines[spine].set_visible(False)
figure.savefig("/output/seattle-months.png", dpi=120)

wettest, driest = months.rain_mm.idxmax(), months.rain_mm.idxmin()
hottest = days.loc[days.temp_max.idxmax()]
summary = {
    "days": len(days),
    "wettest_month": names[wettest - 1],
    "driest_month": names[driest - 1],
    "rain_mm_a_year": round(float(days.precipitation.sum() / years), 1),
    "hottest_day": {"date": f"{hottest.date:%Y-%m-%d}", "high_c": float(hottest.temp_max)},
}
with open("/output/result.json", "w") as file:
    json.dump(summary, file)
months.round(2).to_csv("/output/months.csv")
print(f"\nwettest {summary['wettest_month']}, driest {summary['driest_month']}, {summary['rain_mm_a_year']} mm a year,"
      f" hottest {summary['hottest_day']['high_c']} °C on {summary['hottest_day']['date']}")
progress(1, "done")
